import NIOCore
import RelayModel

/// Keeps no receive buffer for an idle connection.
///
/// NIO keeps the last receive buffer of a channel for ever, unless the allocator says that the next one has another size. So the first
/// one, which is kept, is tiny, and every later one is fresh and goes with its bytes. It needs `maxMessagesPerRead` to be 1; with more,
/// NIO would use the kept buffer again.
///
/// A read that filled its buffer is followed by larger ones until one does not: each read is a turn of the event loop.
struct TransientReceiveAllocator: RecvByteBufferAllocator {
    private var next: UInt32 = 16

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: Int(next)) }

    mutating func record(actualReadBytes: Int) -> Bool {
        next = UInt32(actualReadBytes < Limits.receiveBufferBytes ? Limits.receiveBufferBytes : Limits.largeReceiveBufferBytes)
        return true
    }

    static func install(on channel: any Channel) throws {
        guard let options = channel.syncOptions else { return }
        try options.setOption(.recvAllocator, value: TransientReceiveAllocator())
        try options.setOption(.maxMessagesPerRead, value: 1)
    }
}
