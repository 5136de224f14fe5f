import NIOCore
import NIOHTTP1
import NIOPosix
import RelayTLS

/// One request on its way. Confined to the connection's event loop.
final class HTTPExchange {
    let head: HTTPRequestHead
    let body: [UInt8]?
    /// Nil: the connection's.
    let timeout: TimeAmount?
    let promise: EventLoopPromise<Result<HTTPReply, HTTPClientError>>
    var timer: Scheduled<Void>?
    var reply: HTTPReply?
    /// It was sent again after a kept connection had turned out to be closed.
    var repeated = false

    init(head: HTTPRequestHead, body: [UInt8]?, timeout: TimeAmount?, promise: EventLoopPromise<Result<HTTPReply, HTTPClientError>>) {
        self.head = head
        self.body = body
        self.timeout = timeout
        self.promise = promise
    }
}

/// What is behind an ``HTTPClient``: the queue of requests and the kept connection. Confined to its event loop.
final class HTTPClientConnection {
    private enum State {
        case idle
        case connecting
        /// `used`: a reply came over it before, so it may have been closed in the meantime.
        case open(any Channel, used: Bool)
        case ended
    }

    private let endpoint: Endpoint
    private let loop: any EventLoop
    private let timeout: TimeAmount
    private let maxReplyBytes: Int
    private let open: @Sendable (Endpoint, any EventLoop, TimeAmount) -> EventLoopFuture<any Channel>
    private var state = State.idle
    /// Waiting requests; each has a caller that waits, so their number is bounded by the callers.
    private var waiting: [HTTPExchange] = []
    private var current: HTTPExchange?

    /// - Parameter open: makes a connection; its future is of the given loop.
    init(
        endpoint: Endpoint, loop: any EventLoop, timeout: TimeAmount, maxReplyBytes: Int,
        open: @escaping @Sendable (Endpoint, any EventLoop, TimeAmount) -> EventLoopFuture<any Channel> = HTTPClientConnection.open
    ) {
        self.open = open
        self.endpoint = endpoint
        self.loop = loop
        self.timeout = timeout
        self.maxReplyBytes = maxReplyBytes
    }

    func submit(_ exchange: HTTPExchange) {
        if case .ended = state {
            exchange.promise.succeed(.failure(.closed))
            return
        }
        exchange.timer = loop.assumeIsolated().scheduleTask(in: exchange.timeout ?? timeout) { self.expired(exchange) }
        waiting.append(exchange)
        advance()
    }

    func close(_ done: EventLoopPromise<Void>) {
        let before = state
        state = .ended
        for exchange in waiting { finish(exchange, .failure(.closed)) }
        waiting = []
        if let exchange = current { finish(exchange, .failure(.closed)) }
        current = nil
        guard case .open(let channel, _) = before else {
            done.succeed()
            return
        }
        channel.closeFuture.cascade(to: done)
        channel.close(promise: nil)
    }

    // MARK: Requests

    private func advance() {
        guard current == nil, !waiting.isEmpty else { return }
        switch state {
        case .idle: connect()
        case .connecting, .ended: break
        case .open(let channel, _):
            let exchange = waiting.removeFirst()
            current = exchange
            var head = exchange.head
            if !head.headers.contains(name: "host") { head.headers.add(name: "Host", value: endpoint.hostHeader) }
            if let body = exchange.body {
                head.headers.replaceOrAdd(name: "Content-Length", value: String(body.count))
            } else if [.POST, .PUT].contains(head.method) {
                // RFC 9110, 8.6: says that there is none. Otherwise NIO would announce chunks.
                head.headers.replaceOrAdd(name: "Content-Length", value: "0")
            }
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            if let body = exchange.body, !body.isEmpty {
                channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
            }
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        }
    }

    private func finish(_ exchange: HTTPExchange, _ result: Result<HTTPReply, HTTPClientError>) {
        exchange.timer?.cancel()
        exchange.timer = nil
        exchange.promise.succeed(result)
    }

    private func expired(_ exchange: HTTPExchange) {
        if let index = waiting.firstIndex(where: { $0 === exchange }) {
            waiting.remove(at: index)
            finish(exchange, .failure(.timeout))
        } else if current === exchange {
            fail(.timeout)
        }
    }

    /// Ends the current request and the connection, which is in the middle of a reply and cannot be used again.
    private func fail(_ error: HTTPClientError) {
        guard let exchange = current else { return }
        current = nil
        if case .open(let channel, _) = state {
            state = .idle
            channel.close(promise: nil)
        }
        finish(exchange, .failure(error))
        advance()
    }

    // MARK: The connection

    private func connect() {
        state = .connecting
        open(endpoint, loop, timeout).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel): self.connected(channel)
            case .failure(let error): self.cannotConnect(error)
            }
        }
    }

    static func open(_ endpoint: Endpoint, _ loop: any EventLoop, _ timeout: TimeAmount) -> EventLoopFuture<any Channel> {
        endpoint.connect(on: loop, timeout: timeout) { _ in }
    }

    private func connected(_ channel: any Channel) {
        guard case .connecting = state else {
            channel.close(promise: nil)
            return
        }
        let operations = channel.pipeline.syncOperations
        do {
            try operations.addHTTPClientHandlers()
            try operations.addHandler(ReplyHandler(self, channel))
        } catch {
            channel.close(promise: nil)
            cannotConnect(error)
            return
        }
        // Ended before the handlers were there to hear of it: nobody else will say so.
        guard channel.isActive else {
            state = .idle
            let failure = (try? channel.pipeline.syncOperations.handler(type: TLSHandler.self))?.failure
            if !waiting.isEmpty { finish(waiting.removeFirst(), .failure(failure.map { .tls($0) } ?? .closed)) }
            advance()
            return
        }
        state = .open(channel, used: false)
        advance()
    }

    private func cannotConnect(_ error: any Error) {
        guard case .connecting = state else { return }
        state = .idle
        let failed: HTTPClientError
        if case ChannelError.connectTimeout = error { failed = .timeout } else { failed = .connect(IOErrorInfo(error)) }
        // Everybody who waits wanted this connection.
        let all = waiting
        waiting = []
        for exchange in all { finish(exchange, .failure(failed)) }
    }

    fileprivate func received(_ part: HTTPClientResponsePart, on channel: any Channel) {
        guard case .open(let own, _) = state, own === channel, let exchange = current else { return }
        switch part {
        case .head(let head):
            exchange.reply = HTTPReply(status: Int(head.status.code), headers: head.headers, body: [])
        case .body(let bytes):
            guard (exchange.reply?.body.count ?? 0) + bytes.readableBytes <= maxReplyBytes else {
                fail(.replyTooLarge)
                return
            }
            exchange.reply?.body.append(contentsOf: bytes.readableBytesView)
        case .end:
            guard let reply = exchange.reply else {
                fail(.malformed("an end without a head"))
                return
            }
            current = nil
            if reply.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "close" }) {
                state = .idle
                channel.close(promise: nil)
            } else {
                state = .open(channel, used: true)
            }
            finish(exchange, .success(reply))
            advance()
        }
    }

    fileprivate func broken(_ error: any Error, on channel: any Channel) {
        guard case .open(let own, _) = state, own === channel else { return }
        switch error {
        // The end that any connection can have; whether the reply is complete is decided when it has come.
        case TLSFailure.cutOff where current?.reply == nil: break
        case let failure as TLSFailure: fail(.tls(failure))
        case is HTTPParserError: fail(.malformed("\(error)"))
        default: break
        }
    }

    fileprivate func ended(_ channel: any Channel) {
        guard case .open(let own, let used) = state, own === channel else { return }
        state = .idle
        guard let exchange = current else { return }
        current = nil
        if used, exchange.reply == nil, !exchange.repeated {
            exchange.repeated = true
            waiting.insert(exchange, at: 0)
        } else {
            finish(exchange, .failure(.closed))
        }
        advance()
    }
}

private final class ReplyHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private var owner: HTTPClientConnection?
    private let channel: any Channel

    init(_ owner: HTTPClientConnection, _ channel: any Channel) {
        self.owner = owner
        self.channel = channel
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { owner?.received(unwrapInboundIn(data), on: channel) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        owner?.broken(error, on: channel)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        owner?.ended(channel)
        owner = nil
        context.fireChannelInactive()
    }
}
