/// The libraries of `Tests/Preload`, as a program's environment names them.
package enum Preload {
    /// Counts what a program asks of the heap.
    package final class AllocationCounter: Sendable {
        private let numbers: SharedNumbers

        package init(_ directory: TemporaryDirectory) throws { numbers = try SharedNumbers(path: directory.file("allocations"), count: 2) }

        package var environment: [String: String] {
            ["LD_PRELOAD": "\(Programs.directory)/libAllocationCounter.so", "ALLOCATION_COUNTS": numbers.path]
        }
        package var calls: Int { Int(numbers[0]) }
        package var bytes: Int { Int(numbers[1]) }
    }

    /// Makes the disk of a program fail, or the program die, at a chosen call. The numbers are those of `FaultInjection.h`.
    package final class Faults: Sendable {
        package enum Action: Int64, Sendable {
            /// EIO, once; every later call works.
            case failOnce = 1
            /// ENOSPC, from then on.
            case full = 2
            case kill = 3
            /// Nothing, but ``seen`` counts.
            case count = 4
            /// The call waits until this is disarmed.
            case hold = 5
        }
        package enum Operation: Int64, Sendable { case any, flush, write, rename }
        package enum File: Int64, Sendable {
            /// Of the store: the log and the database.
            case any
            case log, database
            /// Connections of devices. Every write to one flushes what a stream has for it.
            case socket
            case folder
        }

        private let numbers: SharedNumbers

        package init(_ directory: TemporaryDirectory) throws { numbers = try SharedNumbers(path: directory.file("faults"), count: 6) }

        package var environment: [String: String] {
            ["LD_PRELOAD": "\(Programs.directory)/libFaultInjection.so", "FAULT_INJECTION": numbers.path]
        }

        /// Strikes at the call that fits after `passing` others have.
        package func arm(_ action: Action, _ operation: Operation, on file: File = .any, passing: Int = 0) {
            disarm()
            numbers[1] = operation.rawValue
            numbers[2] = file.rawValue
            numbers[3] = Int64(passing)
            numbers[4] = 0
            numbers[5] = 0
            // Last: from here on the library acts.
            numbers[0] = action.rawValue
        }

        package func disarm() { numbers[0] = 0 }

        /// Calls that fitted since the last ``arm(_:_:on:passing:)``.
        package var seen: Int { Int(numbers[4]) }
        package var struck: Int { Int(numbers[5]) }
    }
}
