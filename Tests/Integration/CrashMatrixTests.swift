import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// relayd is killed at the moments that matter, and at no others: the promises hold in each.
@Suite("Crashes at chosen moments") struct CrashMatrixTests {
    static func seed(_ test: String) -> UInt64 {
        let seed = ProcessInfo.processInfo.environment["CRASH_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0..<1 << 32)
        print("\(test): seed \(seed) (CRASH_SEED=\(seed) repeats its decisions)")
        return seed
    }

    /// A device that comes back to thousands of messages is interrupted again and again, by kills of the relay and ends of its own program.
    @Test(.timeLimit(.minutes(10))) func whileADeviceDrains() async throws {
        let missed = 2000
        var random = SeededGenerator(seed: Self.seed("crashes while a device drains"))
        let relay = try RelayProcess(logLevel: "warning")
        try await relay.start()
        let directory = try TemporaryDirectory()
        let alice = try await Self.device("alice", relay, directory)
        let bob = try await Self.device("bob", relay, directory)
        try await alice.goOnline()
        for begin in stride(from: 0, to: missed, by: 100) {
            let ids = try await alice.session.send((begin..<begin + 100).map { "number \($0)" }, to: "bob")
            try await alice.session.wait(for: ids, .sent, timeout: .seconds(300))
        }

        try await bob.start()
        for round in 0..<6 {
            let wanted = min(missed - 1, bob.log.received.count + Int.random(in: 20...250, using: &random))
            try await bob.wait(for: "\(wanted) messages") { $0.received.count >= wanted }
            try await relay.kill()
            if round % 3 == 2 {
                try await bob.close()
                try bob.reopen()
                try await bob.start()
            }
            try await relay.start()
        }
        try await bob.wait(for: "all messages", timeout: .seconds(300)) { $0.received.count >= missed }
        // One more behind them all: nothing else is left.
        let last = try await alice.session.send(["the last one"], to: "bob")
        try await alice.session.wait(for: last, .sent, timeout: .seconds(300))
        try await bob.wait(for: "the last message") { $0.received.last?.text == "the last one" }
        try await alice.close()
        try await bob.close()

        let violations = bob.violations()
        #expect(violations.isEmpty, "\(violations.prefix(20).joined(separator: "\n"))")
        #expect(bob.log.received.map(\.text) == (0..<missed).map { "number \($0)" } + ["the last one"])
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
    }

    static func device(_ user: String, _ relay: RelayProcess, _ directory: TemporaryDirectory) async throws -> TestDevice {
        let link = try await relay.chatctl.addUser(user).invite.link
        return try await TestDevice(name: "\(user).phone", link: link, directory: StateDirectory(directory.file(user)))
    }

    /// Only the checkpointer writes to the database file: the relay dies exactly there, while sends go on.
    @Test(.timeLimit(.minutes(10))) func whileTheLogIsCopied() async throws {
        var random = SeededGenerator(seed: Self.seed("crashes while the log is copied"))
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let relay = try RelayProcess(logLevel: "warning", environment: faults.environment)
        try await relay.start()
        let letters = try await Correspondence.between(("alice", "bob"), on: relay)
        let moments: [(Preload.Faults.Operation, passing: Int)] = [
            (.write, 0), (.write, Int.random(in: 1...100, using: &random)), (.flush, 0), (.write, Int.random(in: 1...100, using: &random)),
        ]
        for (operation, passing) in moments {
            faults.arm(.kill, operation, on: .database, passing: passing)
            // Enough for the log to get as long as it must; ends early, with the relay.
            let finished = try await blocking { try letters.write(2000, bodyBytes: 60_000, window: 2) }
            try #require(!finished, "no checkpoint ran")
            #expect(await relay.ended() == .signalled(SIGKILL))
            #expect(faults.struck == 1)
            faults.disarm()
            try await relay.start()
        }
        try await Self.finish(letters, relay)
    }

    /// What was not answered is repeated, everything is read, everything is compared, and the relay stops as it should.
    static func finish(_ letters: Correspondence, _ relay: RelayProcess) async throws {
        let finished = try await blocking {
            let finished = try letters.write(20, bodyBytes: 200, window: 4)
            try letters.read()
            return finished
        }
        #expect(finished)
        let violations = letters.checker.violations()
        #expect(violations.isEmpty, "\(violations.prefix(20).joined(separator: "\n"))")
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
    }

    /// The disk takes no more, or one flush fails: the relay refuses everything, says why, and ends; nothing that was answered is lost.
    @Test(.timeLimit(.minutes(10)), arguments: DiskFault.all) func whenTheDiskFails(fault: DiskFault) async throws {
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let relay = try RelayProcess(logLevel: "warning", environment: faults.environment)
        try await relay.start()
        let letters = try await Correspondence.between(("alice", "bob"), on: relay)
        #expect(try await blocking { try letters.write(50, bodyBytes: 1000, window: 8) })
        switch fault {
        case .injected(let action, let operation, let file, let passing): faults.arm(action, operation, on: file, passing: passing)
        // A limit of the process stands in for a full file system, which would take rights to make: the log may grow by so much.
        case .sizeLimit: try await relay.limitFileSize(to: 2 * 1024 * 1024)
        }
        let bodyBytes = fault.isOfTheCheckpoint ? 60_000 : 2000
        let finished = try await blocking { try letters.write(4000, bodyBytes: bodyBytes, window: fault.isOfTheCheckpoint ? 2 : 8) }
        try #require(!finished, "the relay did not notice")
        if fault.isInjected { #expect(faults.struck > 0) }
        #expect(await relay.ended() == .exited(1))
        let said = relay.standardError
        #expect(said.contains("the disk failed, nothing more is accepted"), "\(said.suffix(2000))")
        #expect(said.contains("SQLite error"), "\(said.suffix(2000))")
        #expect(said.contains(fault.isFull ? "is full: free some space" : "dmesg says why"), "\(said.suffix(2000))")
        faults.disarm()
        try await relay.start()
        try await Self.finish(letters, relay)
    }

    enum DiskFault: Sendable, CustomStringConvertible {
        case injected(Preload.Faults.Action, Preload.Faults.Operation, Preload.Faults.File, passing: Int)
        case sizeLimit

        static let all: [DiskFault] = [
            .injected(.full, .write, .log, passing: 100), .sizeLimit, .injected(.failOnce, .flush, .log, passing: 20),
            .injected(.failOnce, .write, .log, passing: 33), .injected(.failOnce, .flush, .database, passing: 0),
        ]

        var isFull: Bool {
            switch self {
            case .injected(.full, _, _, _): true
            default: false
            }
        }
        var isInjected: Bool { if case .injected = self { true } else { false } }
        var isOfTheCheckpoint: Bool { if case .injected(_, _, .database, _) = self { true } else { false } }

        var description: String {
            switch self {
            case .injected(let action, let operation, let file, let passing): "\(action) at \(operation) \(passing) of the \(file)"
            case .sizeLimit: "files may not grow"
            }
        }
    }
}
