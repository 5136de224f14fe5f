import Logging
import NIOCore
import RelayModel
import Synchronization

/// Whom the connection of the current task is forwarded for; only set where a proxy said so.
enum ForwardedAddress {
    @TaskLocal static var current: NetworkAddress?
}

/// Reads the header of a trusted proxy, hands its address on, and leaves the pipeline. A connection without a right one ends. Confined to its
/// event loop.
final class ProxyHeaderHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: Duration
    private let complaints: ProxyComplaints
    private let done: (Result<SocketAddress?, any Error>) throws -> Void
    private var timer: Scheduled<Void>?
    private var bytes = ByteBuffer()
    private var isOver = false

    /// - Parameter done: called once: sets up the pipeline behind this handler.
    init(timeout: Duration, _ complaints: ProxyComplaints, done: @escaping (Result<SocketAddress?, any Error>) throws -> Void) {
        self.timeout = timeout
        self.complaints = complaints
        self.done = done
    }

    func handlerAdded(context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(timeout)) { [weak self] in self?.end(ChannelError.eof, context) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var new = unwrapInboundIn(data)
        if bytes.readableBytes == 0 { bytes = new } else { bytes.writeBuffer(&new) }
        let header: ProxyHeader
        do throws(ProxyHeader.Malformed) {
            guard let found = try ProxyHeader(&bytes) else { return }
            header = found
        } catch {
            complaints.complain(error)
            return end(error, context)
        }
        isOver = true
        timer?.cancel()
        timer = nil
        do { try done(.success(header.address)) } catch { return context.close(promise: nil) }
        if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(bytes)) }
        bytes = ByteBuffer()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // The proxy's end, or the relay's.
        if !isOver, event is ChannelShouldQuiesceEvent || (event as? ChannelEvent) == .inputClosed { end(ChannelError.eof, context) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(ChannelError.eof, context)
        context.fireChannelInactive()
    }

    private func end(_ error: any Error, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        timer = nil
        try? done(.failure(error))
        context.close(promise: nil)
    }
}

/// Says in the log that a proxy's headers are wrong, now and then: without it nobody would know why nobody can connect. Any thread.
final class ProxyComplaints: Sendable {
    private let logger: Logger
    private let last = Mutex<NIODeadline?>(nil)

    init(_ logger: Logger) { self.logger = logger }

    func complain(_ error: ProxyHeader.Malformed) {
        let now = NIODeadline.now()
        let due = last.withLock { last in
            if let before = last, now < before + TimeAmount(Limits.proxyComplaints) { return false }
            last = now
            return true
        }
        guard due else { return }
        logger.warning(
            "a connection from a trusted proxy was refused: let it send the PROXY protocol, version 2, or take it out of listen.trusted_proxies",
            metadata: ["reason": "\(error)"])
    }
}
