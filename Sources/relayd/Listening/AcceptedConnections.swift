import NIOCore
import RelayModel

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
    /// On their way to the one who serves them.
    private var settingUp: Set<ObjectIdentifier> = []
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
        settingUp.insert(name)
        let loop = context.eventLoop
        channel.closeFuture.whenComplete { [self] _ in loop.execute { self.ended(name) } }
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        isFull = isEnding || open.count >= limit
        if !isFull { context.read() }
    }

    private func ended(_ name: ObjectIdentifier) {
        open[name] = nil
        settingUp.remove(name)
        if isFull, let context { read(context: context) }
    }

    /// A connection is set up, or could not be.
    func setUp(_ channel: any Channel) { settingUp.remove(ObjectIdentifier(channel)) }

    /// Accepts nobody any more; a moment later tells all connections (`ChannelShouldQuiesceEvent`), each of which ends when it has done what it was asked.
    /// Then the socket closes: whoever sees that knows that what is sent from now on is too late.
    ///
    /// Without that moment, whoever was accepted just before would be sent away with a request that nobody has read. And a connection that is still being
    /// set up, on another loop, when the socket closes, is dropped by NIO on its way to the one who serves it: that ends the process
    /// ("Deinited NIOAsyncWriter without calling finish()").
    /// - Parameter loop: the listening channel's, which may have failed by now.
    func end(on loop: any EventLoop) {
        isEnding = true
        try? context?.channel.syncOptions?.setOption(.autoRead, value: false)  // Fails only when it is closed.
        if open.isEmpty { context?.close(promise: nil) } else { tellSoon(on: loop) }
    }

    /// Whatever it waits for, the end of the process does not wait for it longer than ``Limits/stopPatience``.
    private func tellSoon(on loop: any EventLoop) {
        loop.assumeIsolated().scheduleTask(in: TimeAmount(Limits.lastRequestPatience)) { [self] in
            guard settingUp.isEmpty else { return tellSoon(on: loop) }
            let told = open.values.map { channel in
                channel.eventLoop.submit { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
            }
            EventLoopFuture.andAllComplete(told, on: loop).assumeIsolated().whenComplete { [self] _ in context?.close(promise: nil) }
        }
    }
}
