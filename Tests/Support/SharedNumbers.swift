import Foundation

/// A file of 64-bit numbers that another process has mapped into its memory: each side sees at once what the other one writes.
/// Any thread.
package final class SharedNumbers: Sendable {
    package let path: String
    private let descriptor: Int32

    /// Makes the file, with `count` zeros.
    package init(path: String, count: Int) throws {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0, ftruncate(descriptor, off_t(count * MemoryLayout<Int64>.size)) == 0 else {
            throw SupportFailure.system("making \(path)")
        }
    }

    deinit { close(descriptor) }

    package subscript(index: Int) -> Int64 {
        get {
            var number: Int64 = 0
            pread(descriptor, &number, MemoryLayout<Int64>.size, off_t(index * MemoryLayout<Int64>.size))
            return number
        }
        set {
            var number = newValue
            pwrite(descriptor, &number, MemoryLayout<Int64>.size, off_t(index * MemoryLayout<Int64>.size))
        }
    }
}
