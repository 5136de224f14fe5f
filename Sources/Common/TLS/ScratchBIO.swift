import COpenSSL
import NIOCore

/// What OpenSSL reads from and writes to while one of its functions runs: the bytes that the socket just gave, and a buffer for what is to be
/// sent. One for all connections of an event loop, with one BIO; a connection itself keeps no buffer (BIO_s_mem keeps two). Confined to the loop.
final class TLSScratch {
    /// For both directions of every connection: it has no state from one call of OpenSSL to the next. A handshake puts its own buffer in front of it
    /// and takes that away again (BIO_push, BIO_pop), also beside another one's. Nil without memory.
    private(set) lazy var bio: OpaquePointer? = ScratchBIO.make(self)
    var input = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Handed over as it is, so that nothing is copied once more.
    var output = ByteBuffer()

    /// Takes what was written.
    func takeOutput() -> ByteBuffer? {
        guard output.readableBytes > 0 else { return nil }
        defer { output = ByteBuffer() }
        return output
    }

    deinit { BIO_free(bio) }
}

/// The BIO between OpenSSL and a ``TLSScratch``.
enum ScratchBIO {
    /// - Parameter scratch: must live longer than the BIO.
    static func make(_ scratch: TLSScratch) -> OpaquePointer? {
        guard let method, let bio = BIO_new(method) else { return nil }
        BIO_set_data(bio, Unmanaged.passUnretained(scratch).toOpaque())
        return bio
    }

    // Made once, never freed, and never changed: the only pointer to a C structure that is shared.
    nonisolated(unsafe) private static let method: OpaquePointer? = {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "relay") else { return nil }
        BIO_meth_set_read(method, readFromScratch)
        BIO_meth_set_write(method, writeToScratch)
        BIO_meth_set_ctrl(method, controlScratch)
        BIO_meth_set_create(method, createScratch)
        return method
    }()
}

// Functions, not closures: OpenSSL calls them from any event loop.

private func scratch(of bio: OpaquePointer?) -> TLSScratch? {
    BIO_get_data(bio).map { Unmanaged<TLSScratch>.fromOpaque($0).takeUnretainedValue() }
}

private func readFromScratch(_ bio: OpaquePointer?, _ target: UnsafeMutablePointer<CChar>?, _ size: Int32) -> Int32 {
    copenssl_bio_clear_retry(bio)
    guard let scratch = scratch(of: bio), let target, size > 0, let source = scratch.input.baseAddress, scratch.input.count > 0 else {
        copenssl_bio_retry_read(bio)
        return -1
    }
    let count = min(scratch.input.count, Int(size))
    UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count)
    scratch.input = UnsafeRawBufferPointer(rebasing: scratch.input[count...])
    return Int32(count)
}

private func writeToScratch(_ bio: OpaquePointer?, _ source: UnsafePointer<CChar>?, _ size: Int32) -> Int32 {
    copenssl_bio_clear_retry(bio)
    guard let scratch = scratch(of: bio), let source, size > 0 else { return 0 }
    scratch.output.writeBytes(UnsafeRawBufferPointer(start: source, count: Int(size)))
    return size
}

private func controlScratch(_ bio: OpaquePointer?, _ command: Int32, _ number: Int, _ pointer: UnsafeMutableRawPointer?) -> Int {
    command == BIO_CTRL_FLUSH ? 1 : 0
}

private func createScratch(_ bio: OpaquePointer?) -> Int32 {
    BIO_set_init(bio, 1)
    return 1
}
