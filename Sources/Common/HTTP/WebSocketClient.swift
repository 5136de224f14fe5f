import NIOCore
import NIOHTTP1
import NIOPosix
import RelayTLS

/// The receiving end of a ``WebSocketClientChannel``. Every call comes on the connection's event loop.
package protocol WebSocketDelegate: AnyObject {
    func received(_ message: WebSocketMessage)
    /// The end of a read burst, also of one that held only pings and pongs: flush here.
    func readComplete()
    /// Exactly once, after everything else. `code` is what the relay sent, or what broke its side of the protocol; nil when the connection
    /// ended without a close frame.
    func closed(code: UInt16?, reason: String)
}

/// Why there is no WebSocket.
package enum WebSocketConnectError: Error, Sendable, CustomStringConvertible {
    case connect(IOErrorInfo)
    /// There is a server, but no TLS with it.
    case tls(TLSFailure)
    case timeout
    /// The server answered with something else than an upgrade.
    case refused(HTTPReply)
    /// The connection ended during the handshake.
    case closed
    case malformed(String)

    package var description: String {
        switch self {
        case .connect(let info): "cannot connect: \(info.text)"
        case .tls(let failure): failure.description
        case .timeout: "no answer to the WebSocket handshake in time"
        case .refused(let reply): "the server refused the WebSocket with status \(reply.status)"
        case .closed: "the connection was closed during the WebSocket handshake"
        case .malformed(let what): "the server's WebSocket handshake is wrong: \(what)"
        }
    }
}

/// Client side of a WebSocket (RFC 6455) without extensions.
package enum WebSocketClient {
    /// From the start of the connection to the end of the handshake.
    package static let handshakeTimeout = TimeAmount.seconds(30)
    /// How long a closing handshake waits for the other side.
    package static let closeTimeout = TimeAmount.seconds(5)
    /// Of a refusal.
    static let refusalBytes = 64 * 1024

    /// Connects and upgrades. Any thread; `delegate` is called on the loop, before anything is received.
    /// - Parameters:
    ///   - subprotocols: offered in this order; ``WebSocketClientChannel/subprotocol`` is the server's choice.
    ///   - maxMessageBytes: of one received message, all its fragments together.
    package static func connect(
        to endpoint: Endpoint, path: String, headers: [(String, String)] = [], subprotocols: [String] = [], maxMessageBytes: Int,
        on loop: any EventLoop, delegate: @escaping @Sendable (WebSocketClientChannel) -> any WebSocketDelegate
    ) async throws(WebSocketConnectError) -> WebSocketClientChannel {
        var generator = SystemRandomNumberGenerator()
        let key = base64((0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: path)
        head.headers = [
            "Host": endpoint.hostHeader, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
        ]
        if !subprotocols.isEmpty { head.headers.add(name: "Sec-WebSocket-Protocol", value: subprotocols.joined(separator: ", ")) }
        for (name, value) in headers { head.headers.add(name: name, value: value) }
        let request = head
        let promise = loop.makePromise(of: Result<WebSocketClientChannel, WebSocketConnectError>.self)
        let connecting = endpoint.connect(on: loop, timeout: handshakeTimeout) { channel in
            let handshake = ClientHandshake(
                request: request, accept: WebSocketAccept.key(for: key), offered: subprotocols, maxMessageBytes: maxMessageBytes,
                promise: promise,
                delegate: delegate)
            try channel.pipeline.syncOperations.addHandlers([
                SocketSide(), HTTPRequestEncoder(), ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes)),
            ])
            try channel.pipeline.syncOperations.addHandler(handshake)
        }
        connecting.whenFailure { error in
            if case ChannelError.connectTimeout = error {
                promise.succeed(.failure(.timeout))
            } else {
                promise.succeed(.failure(.connect(IOErrorInfo(error))))
            }
        }
        let result: Result<WebSocketClientChannel, WebSocketConnectError>
        do { result = try await promise.futureResult.get() } catch { result = .failure(.closed) }
        return try result.get()
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            bits <<= UInt32(8 * (3 - group.count))
            for index in 0..<4 {
                text.append(index <= group.count ? alphabet[Int(bits >> UInt32(18 - 6 * index)) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// An open WebSocket. `send`, `ping`, `pong` and `flush` on the event loop; `close` from anywhere.
package final class WebSocketClientChannel: Sendable {
    package let eventLoop: any EventLoop
    /// The server's choice; nil when it chose none.
    package let subprotocol: String?
    private let channel: any Channel

    fileprivate init(channel: any Channel, subprotocol: String?) {
        self.channel = channel
        self.subprotocol = subprotocol
        eventLoop = channel.eventLoop
    }

    /// False when more than the socket's high watermark waits to be sent. Any thread.
    package var isWritable: Bool { channel.isWritable }

    /// Ends when the connection has ended.
    package var closeFuture: EventLoopFuture<Void> { channel.closeFuture }

    /// Queues one message; ``flush()`` sends it.
    package func send(_ message: WebSocketMessage) {
        switch message {
        case .binary(let payload): write(.binary, payload)
        case .text(let payload): write(.text, payload)
        }
    }

    /// Queues a ping.
    package func ping() { write(.ping, ByteBuffer()) }

    /// Queues a pong that nobody asked for: a sign of life without an answer (RFC 6455, 5.5.3).
    package func pong() { write(.pong, ByteBuffer()) }

    package func flush() { channel.flush() }

    /// Sends a close frame and ends the connection when the other side has answered, or after ``WebSocketClient/closeTimeout``.
    package func close(code: UInt16, reason: String = "") {
        channel.triggerUserOutboundEvent(WebSocketClientHandler.Close(code: code, reason: reason), promise: nil)
    }

    /// Ends the connection without a word, as a lost network does.
    package func abort() { channel.close(promise: nil) }

    private func write(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) {
        eventLoop.preconditionInEventLoop()
        var frame = channel.allocator.buffer(capacity: WebSocketFrames.headerBytes + payload.readableBytes)
        WebSocketFrames.write(opcode, payload: payload, mask: .random(in: .min ... .max), into: &frame)
        channel.write(frame, promise: nil)
    }
}

/// Sends the request, checks the answer, and puts ``WebSocketClientHandler`` into its own place.
private final class ClientHandshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let request: HTTPRequestHead
    private let accept: String
    private let offered: [String]
    private let maxMessageBytes: Int
    private let promise: EventLoopPromise<Result<WebSocketClientChannel, WebSocketConnectError>>
    private let delegate: @Sendable (WebSocketClientChannel) -> any WebSocketDelegate
    private var reply: HTTPReply?
    private var timer: Scheduled<Void>?
    private var done = false

    init(
        request: HTTPRequestHead, accept: String, offered: [String], maxMessageBytes: Int,
        promise: EventLoopPromise<Result<WebSocketClientChannel, WebSocketConnectError>>,
        delegate: @escaping @Sendable (WebSocketClientChannel) -> any WebSocketDelegate
    ) {
        self.request = request
        self.accept = accept
        self.offered = offered
        self.maxMessageBytes = maxMessageBytes
        self.promise = promise
        self.delegate = delegate
    }

    func channelActive(context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: WebSocketClient.handshakeTimeout) { self.fail(.timeout, context) }
        context.write(wrapOutboundOut(.head(request)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !done else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): reply = HTTPReply(status: Int(head.status.code), headers: head.headers, body: [])
        case .body(let bytes):
            guard (reply?.body.count ?? 0) + bytes.readableBytes <= WebSocketClient.refusalBytes else {
                fail(.malformed("the refusal is too long"), context)
                return
            }
            reply?.body.append(contentsOf: bytes.readableBytesView)
        case .end:
            guard let reply else {
                fail(.malformed("an end without a head"), context)
                return
            }
            guard reply.status == 101 else {
                fail(.refused(reply), context)
                return
            }
            upgrade(reply.headers, context)
        }
    }

    private func upgrade(_ headers: HTTPHeaders, _ context: ChannelHandlerContext) {
        guard headers.first(name: "upgrade")?.lowercased() == "websocket" else { return fail(.malformed("no `Upgrade: websocket`"), context) }
        guard headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" }) else {
            return fail(.malformed("no `Connection: Upgrade`"), context)
        }
        guard headers.first(name: "sec-websocket-accept") == accept else { return fail(.malformed("a wrong Sec-WebSocket-Accept"), context) }
        guard !headers.contains(name: "sec-websocket-extensions") else { return fail(.malformed("an extension nobody asked for"), context) }
        let chosen = headers.first(name: "sec-websocket-protocol")
        if let chosen, !offered.contains(chosen) { return fail(.malformed("a subprotocol nobody offered"), context) }
        let operations = context.pipeline.syncOperations
        do {
            let socketSide = try operations.handler(type: SocketSide.self)
            let encoder = try operations.context(handlerType: HTTPRequestEncoder.self)
            let decoder = try operations.context(handlerType: ByteToMessageHandler<HTTPResponseDecoder>.self)
            let channel = WebSocketClientChannel(channel: context.channel, subprotocol: chosen)
            try operations.addHandlers([
                PastTheCodecs(socketSide), WebSocketClientHandler(maxMessageBytes: maxMessageBytes, delegate: delegate(channel)),
            ])
            operations.removeHandler(context: encoder, promise: nil)
            operations.removeHandler(context: context, promise: nil)
            // The removal is deferred and forwards what came behind the handshake without a read-complete.
            let removed = context.eventLoop.makePromise(of: Void.self)
            let pipeline = context.pipeline
            removed.futureResult.whenComplete { _ in
                let operations = pipeline.syncOperations
                if let past = try? operations.context(handlerType: PastTheCodecs.self) { operations.removeHandler(context: past, promise: nil) }
                if let side = try? operations.context(handlerType: SocketSide.self) { operations.removeHandler(context: side, promise: nil) }
                pipeline.fireChannelReadComplete()
            }
            operations.removeHandler(context: decoder, promise: removed)
            done = true
            timer?.cancel()
            timer = nil
            promise.succeed(.success(channel))
        } catch {
            fail(.malformed("\(error)"), context)
        }
    }

    private func fail(_ error: WebSocketConnectError, _ context: ChannelHandlerContext) {
        guard !done else { return }
        done = true
        timer?.cancel()
        timer = nil
        promise.succeed(.failure(error))
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case TLSFailure.cutOff: fail(.closed, context)
        case let failure as TLSFailure: fail(.tls(failure), context)
        case is HTTPParserError: fail(.malformed("\(error)"), context)
        default: fail(.closed, context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(.closed, context)
        context.fireChannelInactive()
    }
}

/// Marks the place between the socket and the HTTP codecs.
private final class SocketSide: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    /// Nil when it is not in a pipeline.
    private(set) var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
}

/// Leads what is written past the HTTP codecs until these are gone: the decoder watches writes too, takes each one for a request, and ends
/// the process when it is none. Its removal takes until the next turn of the loop, and what came right behind the handshake (a ping,
/// a close) is answered during it.
private final class PastTheCodecs: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = NIOAny
    private let socketSide: SocketSide

    init(_ socketSide: SocketSide) { self.socketSide = socketSide }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard let next = socketSide.context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        next.write(data, promise: promise)
    }

    func flush(context: ChannelHandlerContext) { socketSide.context?.flush() }
}

/// Frames in, messages out.
private final class WebSocketClientHandler: ChannelInboundHandler, ChannelOutboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    struct Close: Sendable {
        var code: UInt16
        var reason: String
    }

    private var parser: WebSocketParser
    private var delegate: (any WebSocketDelegate)?
    private var end: (code: UInt16?, reason: String) = (nil, "")
    private var closeSent = false
    private var wrote = false

    init(maxMessageBytes: Int, delegate: any WebSocketDelegate) {
        parser = WebSocketParser(role: .client, maxMessageBytes: maxMessageBytes)
        self.delegate = delegate
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        parser.append(unwrapInboundIn(data))
        while let event = parser.next() {
            switch event {
            case .message(let message): delegate?.received(message)
            case .ping(let payload):
                guard !closeSent else { break }
                var frame = context.channel.allocator.buffer(capacity: WebSocketFrames.headerBytes + payload.readableBytes)
                WebSocketFrames.write(.pong, payload: payload, mask: .random(in: .min ... .max), into: &frame)
                context.write(wrapOutboundOut(frame), promise: nil)
                wrote = true
            case .pong: break
            case .close(let code, let reason):
                end = (code, reason)
                sendClose(code ?? 1000, "", context)
                context.close(promise: nil)
            case .failed(let code, let reason):
                end = (code, reason)
                sendClose(code, reason, context)
                context.close(promise: nil)
            }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        delegate?.readComplete()
        if wrote {
            wrote = false
            context.flush()
        }
        context.fireChannelReadComplete()
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let event = event as? Close else {
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        sendClose(event.code, event.reason, context)
        let channel = context.channel
        context.eventLoop.scheduleTask(in: WebSocketClient.closeTimeout) { channel.close(promise: nil) }
        promise?.succeed()
    }

    private func sendClose(_ code: UInt16, _ reason: String, _ context: ChannelHandlerContext) {
        guard !closeSent else { return }
        closeSent = true
        var frame = context.channel.allocator.buffer(capacity: 16)
        WebSocketFrames.writeClose(code: code, reason: reason, mask: .random(in: .min ... .max), into: &frame)
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        delegate?.closed(code: end.code, reason: end.reason)
        delegate = nil
        context.fireChannelInactive()
    }
}
