import NIOCore

/// The connections of a listening socket: at most so many at once, further ones wait in the kernel until one ends; and when the server is to end,
/// each is told. Confined to the listening channel's event loop, hence unchecked.
///
/// An entry and a callback for each connection: with Hummingbird's handler for the limit and NIO's for the end an idle connection takes 300 bytes more.
final class AcceptedConnections: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private let limit: Int
    private var open: [ObjectIdentifier: any Channel] = [:]
    private var context: ChannelHandlerContext?
    /// Somebody wants to accept, and has to wait until a connection ends.
    private var isFull = false
    private var isEnding = false

    init(limit: Int) { self.limit = limit }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        let name = ObjectIdentifier(channel)
        open[name] = channel
        let loop = context.eventLoop
        channel.closeFuture.whenComplete { [self] _ in loop.execute { self.ended(name) } }
        context.fireChannelRead(data)
        if isEnding { Self.tell(channel) }
    }

    func read(context: ChannelHandlerContext) {
        isFull = open.count >= limit
        if !isFull { context.read() }
    }

    private func ended(_ name: ObjectIdentifier) {
        open[name] = nil
        if isFull, let context { read(context: context) }
    }

    /// Accepts nobody any more, and tells all connections (`ChannelShouldQuiesceEvent`); each ends when it has done what it was asked.
    func end() {
        isEnding = true
        context?.close(promise: nil)
        for channel in open.values { Self.tell(channel) }
    }

    private static func tell(_ channel: any Channel) {
        channel.eventLoop.execute { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
    }
}
