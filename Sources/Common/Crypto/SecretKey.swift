import CSodium

/// Secret bytes outside the Swift heap: between guard pages, left out of core dumps, locked into memory where the limit allows it, and
/// wiped when the last reference goes (sodium_malloc(3)). Immutable, so any thread may read it.
///
/// It is neither `Codable` nor printable, so that a secret cannot end in a file or a log by accident.
package final class SecretKey: @unchecked Sendable {
    private let storage: UnsafeMutableRawPointer
    package let count: Int

    /// Copies the bytes; the caller wipes its own copy (``wipe(_:)``).
    package init(copying bytes: some Collection<UInt8>) {
        requireSodium()
        guard let storage = sodium_malloc(bytes.count) else { fatalError("out of memory for a secret key") }
        UnsafeMutableRawBufferPointer(start: storage, count: bytes.count).copyBytes(from: bytes)
        _ = sodium_mprotect_readonly(storage)
        self.storage = storage
        count = bytes.count
    }

    deinit { sodium_free(storage) }

    /// The bytes in place; valid inside `body` only.
    package func withBytes<Result>(_ body: (UnsafePointer<UInt8>) throws -> Result) rethrows -> Result {
        try body(UnsafePointer(storage.assumingMemoryBound(to: UInt8.self)))
    }

    /// A copy for the one place that must store it. Wipe it after use.
    package func copyBytes() -> [UInt8] { Array(UnsafeRawBufferPointer(start: storage, count: count)) }
}

/// Overwrites an array that held a secret, in a way that the compiler cannot leave out.
package func wipe(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { buffer in
        if let start = buffer.baseAddress { sodium_memzero(start, buffer.count) }
    }
}
