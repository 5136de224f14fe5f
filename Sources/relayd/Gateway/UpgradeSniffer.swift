import NIOCore
import NIOHTTP1
import RelayHTTP
import RelayModel
import RelayWire

/// Stands behind the HTTP decoder of every connection and looks at the head of its first request: an acceptable `GET /v1/connect`
/// becomes a WebSocket, everything else goes on as HTTP. It also keeps the time of heads and bodies, and answers what is not HTTP.
/// Confined to its event loop.
///
/// NIO's own upgrade handler is not used: it loses the head of a request whose upgrade is refused (swift-nio 2.101.2), so that the
/// client would get no answer.
final class UpgradeSniffer: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case waiting
        case upgrading(ConnectRequest)
        case http
        case done
    }

    private let environment: GatewayEnvironment
    private let promise: EventLoopPromise<GatewayChannel.Negotiated>
    private let address: SocketAddress?
    private let serveHTTP: (any Channel) throws -> GatewayChannel.Negotiated
    private var state = State.waiting
    private var timer: Scheduled<Void>?
    /// Runs while the socket takes nothing.
    private var stalled: Scheduled<Void>?
    private var admitted = false
    /// The address's count, held until this is a WebSocket or gone; nil when the address does not count.
    private var visit: AddressVisit?
    /// Requests whose reply is not complete yet.
    private var unanswered = 0

    /// - Parameter address: whom this connection counts for.
    init(
        _ environment: GatewayEnvironment, _ promise: EventLoopPromise<GatewayChannel.Negotiated>, address: SocketAddress?,
        serveHTTP: @escaping (any Channel) throws -> GatewayChannel.Negotiated
    ) {
        self.environment = environment
        self.promise = promise
        self.address = address
        self.serveHTTP = serveHTTP
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // Without an answer: the time and the descriptor that it would take are what a flood wants. Clients come back, ever more slowly.
        guard case .welcome(let visit) = environment.limits.arrival(from: address) else { return context.close(promise: nil) }
        self.visit = visit
        admitted = environment.open.enterHTTP()
        guard admitted else { return context.close(promise: nil) }
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(environment.settings.requestHeadTimeout)) { [weak self] in
            self?.refuse(WireFailure(.timeout, "no complete request in time"), context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        if admitted { environment.open.leaveHTTP() }
        visit?.meter.leave()
        visit = nil
        stopTimer()
        stalled?.cancel()
        abandon()
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            if case .done = state { return }
            if case .waiting = state, head.method == .GET, head.uri.prefix(while: { $0 != "?" }) == ConnectRequest.path,
                let request = try? ConnectRequest(
                    uri: head.uri, header: { head.headers[canonicalForm: $0].map(String.init) }, directory: environment.directory)
            {
                if let refusal = environment.limits.refusalOfHandshake(request.principal) { return refuse(refusal, context) }
                // The time goes on: a body may be announced that never comes.
                state = .upgrading(request)
                return
            }
            stopTimer()
            forward(head, context)
        case .body(let bytes):
            switch state {
            case .http: context.fireChannelRead(data)
            // A body on an upgrade has no meaning; it is dropped as it comes.
            default: _ = bytes
            }
        case .end:
            switch state {
            case .http:
                stopTimer()
                context.fireChannelRead(data)
            case .upgrading(let request):
                stopTimer()
                upgrade(request, context)
            case .waiting, .done: break
            }
        }
    }

    private func forward(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        if case .waiting = state {
            do {
                let negotiated = try serveHTTP(context.channel)
                state = .http
                promise.succeed(negotiated)
            } catch {
                state = .done
                promise.fail(error)
                context.close(promise: nil)
                return
            }
        }
        unanswered += 1
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(environment.settings.requestBodyTimeout)) { [weak self] in
            self?.state = .done
            context.close(promise: nil)
        }
        var head = head
        // The decoder stops behind a request that asks for another protocol, so this connection serves no further one.
        if head.headers.contains(name: "upgrade") { head.headers.replaceOrAdd(name: "Connection", value: "close") }
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    private func upgrade(_ request: ConnectRequest, _ context: ChannelHandlerContext) {
        state = .done
        var head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols)
        head.headers = ["Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": request.accept]
        if request.namesSubprotocol { head.headers.add(name: "Sec-WebSocket-Protocol", value: request.encoding.subprotocol) }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        let operations = context.pipeline.syncOperations
        do {
            if let options = context.channel.syncOptions {
                // Hummingbird allows half-closed connections; an upgraded one would then outlive its client.
                try options.setOption(.allowRemoteHalfClosure, value: false)
                try options.setOption(
                    .writeBufferWaterMark, value: .init(low: Limits.socketLowWatermarkBytes, high: Limits.socketHighWatermarkBytes))
            }
            let encoder = try operations.context(handlerType: HTTPResponseEncoder.self)
            let decoder = try operations.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
            let handler = ConnectionHandler(request, environment, visit)
            try operations.addHandler(handler)
            let pipeline = context.pipeline
            operations.removeHandler(context: encoder, promise: nil)
            // Removing the decoder is deferred; it forwards what came behind the handshake, without a read-complete.
            let removed = context.eventLoop.makePromise(of: Void.self)
            removed.futureResult.whenComplete { _ in pipeline.fireChannelReadComplete() }
            promise.succeed(.webSocket)
            operations.removeHandler(context: context, promise: nil)
            // Before anything can be forwarded, and with nothing of HTTP left between the handler and the socket.
            handler.start(request)
            // Not before it is registered: what happens once the client has its answer is pushed.
            pipeline.flush()
            operations.removeHandler(context: decoder, promise: removed)
        } catch {
            promise.fail(error)
            context.close(promise: nil)
        }
    }

    // MARK: Out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { unanswered -= 1 }
        context.write(data, promise: promise)
    }

    /// Whoever asks and does not read the answers would have this connection for ever: Hummingbird's own timer waits for the answer to be written.
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stalled?.cancel()
        stalled = nil
        if case .http = state, !context.channel.isWritable {
            stalled = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(environment.settings.requestBodyTimeout)) {
                context.close(promise: nil)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    /// A typed answer where no request has reached the router, then the end of the connection.
    private func refuse(_ failure: WireFailure, _ context: ChannelHandlerContext) {
        stopTimer()
        if case .done = state { return }
        state = .done
        let body = (try? WireEncoding.json.encode(failure.wire)) ?? ByteBuffer()
        var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: failure.code.httpStatus))
        head.headers = [
            "Content-Type": WireEncoding.json.mediaType, "Content-Length": String(body.readableBytes), "Connection": "close",
        ]
        if let seconds = failure.retryAfterSeconds { head.headers.add(name: "Retry-After", value: String(seconds)) }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        // Our end only: with something unread in the socket, closing it at once would discard the answer.
        context.close(mode: .output, promise: nil)
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(environment.settings.closeTimeout)) {
            context.close(promise: nil)
        }
    }

    // MARK: The end

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError else {
            context.fireErrorCaught(error)
            if case .http = state { return }
            context.close(promise: nil)
            return
        }
        switch state {
        case .done: break
        case .waiting, .upgrading: refuse(.malformed("this is not an HTTP/1.1 request"), context)
        case .http:
            if unanswered == 0 {
                refuse(.malformed("this is not an HTTP/1.1 request"), context)
            } else {
                // In the middle of a request: Hummingbird answers it and ends the connection.
                context.fireErrorCaught(error)
            }
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch state {
        case .waiting where event is ChannelShouldQuiesceEvent, .upgrading where event is ChannelShouldQuiesceEvent:
            context.close(promise: nil)
        case .waiting where (event as? ChannelEvent) == .inputClosed, .upgrading where (event as? ChannelEvent) == .inputClosed,
            .done where (event as? ChannelEvent) == .inputClosed:
            context.close(promise: nil)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        stopTimer()
        stalled?.cancel()
        abandon()
        context.fireChannelInactive()
    }

    /// The connection ended before it was known what it is.
    private func abandon() {
        switch state {
        case .waiting, .upgrading: promise.fail(ChannelError.eof)
        case .http: break
        case .done: promise.fail(ChannelError.eof)
        }
        state = .done
    }

    private func stopTimer() {
        timer?.cancel()
        timer = nil
    }
}
