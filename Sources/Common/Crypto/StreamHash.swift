import CSodium

/// BLAKE2b-256 of something that comes in pieces. Confined to one thread at a time.
package final class StreamHash {
    /// libsodium wants its state on a boundary of 64 bytes.
    private let state: UnsafeMutableRawPointer

    package init() {
        requireSodium()
        state = .allocate(byteCount: crypto_generichash_statebytes(), alignment: 64)
        _ = crypto_generichash_init(OpaquePointer(state), nil, 0, 32)
    }

    deinit { state.deallocate() }

    package func add(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        _ = crypto_generichash_update(OpaquePointer(state), start, UInt64(bytes.count))
    }

    /// 32 bytes. Once.
    package func finish() -> [UInt8] {
        var hash = [UInt8](repeating: 0, count: 32)
        _ = crypto_generichash_final(OpaquePointer(state), &hash, 32)
        return hash
    }
}
