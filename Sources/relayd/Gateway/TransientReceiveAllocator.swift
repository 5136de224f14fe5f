import NIOCore
import RelayModel

/// Keeps no receive buffer for an idle connection.
///
/// NIO keeps the last receive buffer of a channel for ever, unless the allocator says that the next one has another size. So the first
/// one, which is kept, is tiny, and every later one is fresh and goes with its bytes. It needs `maxMessagesPerRead` to be 1; with more,
/// NIO would use the kept buffer again.
struct TransientReceiveAllocator: RecvByteBufferAllocator {
    private var first = true

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: first ? 16 : Limits.receiveBufferBytes) }

    mutating func record(actualReadBytes: Int) -> Bool {
        first = false
        return true
    }

    static func install(on channel: any Channel) throws {
        guard let options = channel.syncOptions else { return }
        try options.setOption(.recvAllocator, value: TransientReceiveAllocator())
        try options.setOption(.maxMessagesPerRead, value: 1)
    }
}
