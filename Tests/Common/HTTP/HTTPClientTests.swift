import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization
import Testing

@testable import RelayHTTP

/// Echoes method, path and body; some paths do something else.
private final class EchoHTTP: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let new): (head, body) = (new, ByteBuffer())
        case .body(var part): body.writeBuffer(&part)
        case .end:
            guard let head else { return }
            if head.uri == "/never" { return }
            if head.uri == "/hang-up" {
                context.close(promise: nil)
                return
            }
            var text = ByteBuffer(string: "\(head.method) \(head.uri) \(head.headers.first(name: "x-test") ?? "-") ")
            text.writeBuffer(&body)
            if head.uri == "/large" { text.writeRepeatingByte(65, count: 100_000) }
            var reply = HTTPResponseHead(version: .http1_1, status: head.uri == "/teapot" ? .imATeapot : .ok)
            reply.headers.add(name: "Content-Length", value: String(text.readableBytes))
            context.write(wrapOutboundOut(.head(reply)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(text))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            // The client learns of this end only when it uses the connection again.
            if head.uri == "/last" { context.close(promise: nil) }
        }
    }
}

private final class EchoFrames: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .text, .binary:
            let whole = frame.unmaskedData
            if whole.readableBytes > 4 {
                // In two fragments with a ping between them.
                let half = whole.readableBytes / 2
                context.write(
                    wrapOutboundOut(.init(fin: false, opcode: frame.opcode, data: whole.getSlice(at: 0, length: half) ?? whole)), promise: nil)
                context.write(wrapOutboundOut(.init(fin: true, opcode: .ping, data: ByteBuffer(string: "there?"))), promise: nil)
                let rest = whole.getSlice(at: half, length: whole.readableBytes - half) ?? whole
                context.writeAndFlush(wrapOutboundOut(.init(fin: true, opcode: .continuation, data: rest)), promise: nil)
            } else {
                context.writeAndFlush(wrapOutboundOut(.init(fin: true, opcode: frame.opcode, data: whole)), promise: nil)
            }
        case .pong:
            context.writeAndFlush(wrapOutboundOut(.init(fin: true, opcode: .text, data: ByteBuffer(string: "pong"))), promise: nil)
        case .connectionClose:
            context.writeAndFlush(wrapOutboundOut(.init(fin: true, opcode: .connectionClose, data: frame.unmaskedData)), promise: nil)
            context.close(promise: nil)
        default: break
        }
    }
}

private final class Inbox: WebSocketDelegate, Sendable {
    enum Event: Sendable, Equatable {
        case message(WebSocketMessage)
        case closed(UInt16?)
    }
    let events: AsyncStream<Event>
    private let sink: AsyncStream<Event>.Continuation
    init() { (events, sink) = AsyncStream.makeStream() }
    func received(_ message: WebSocketMessage) { sink.yield(.message(message)) }
    func readComplete() {}
    func closed(code: UInt16?, reason: String) {
        sink.yield(.closed(code))
        sink.finish()
    }
}

private func serving(_ body: (Endpoint) async throws -> Void) async throws {
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            let echo = EchoHTTP()
            let name = NIOLoopBound(echo, eventLoop: channel.eventLoop)
            let upgrader = NIOWebSocketServerUpgrader(
                shouldUpgrade: { channel, head in
                    channel.eventLoop.makeSucceededFuture(head.uri == "/ws" ? ["Sec-WebSocket-Protocol": "relay.v1.json"] : nil)
                },
                upgradePipelineHandler: { channel, _ in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(EchoFrames()) }
                })
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                withServerUpgrade: (
                    upgraders: [upgrader],
                    completionHandler: { context in context.pipeline.syncOperations.removeHandler(name.value, promise: nil) }
                ))
            try channel.pipeline.syncOperations.addHandler(echo)
        }
    }.bind(host: "127.0.0.1", port: 0).get()
    try await body(.tcp(host: "127.0.0.1", port: server.localAddress?.port ?? 0))
    try await server.close()
}

@Suite struct HTTPClientTests {
    private func text(_ reply: HTTPReply) -> String { String(decoding: reply.body, as: UTF8.self) }

    @Test func requestsOneAfterAnother() async throws {
        try await serving { endpoint in
            let client = HTTPClient(endpoint: endpoint, group: MultiThreadedEventLoopGroup.singleton)
            for number in 0..<20 {
                let reply = try await client.request(.POST, "/a", headers: [("X-Test", "\(number)")], body: Array("body".utf8))
                #expect(text(reply) == "POST /a \(number) body")
            }
            await withTaskGroup(of: Bool.self) { group in
                for number in 0..<20 {
                    group.addTask { (try? await client.request(.GET, "/\(number)")).map { text($0).hasPrefix("GET /\(number) ") } ?? false }
                }
                for await good in group { #expect(good) }
            }
            #expect(try await client.request(.GET, "/teapot").status == 418)
            await client.close()
            await #expect(throws: HTTPClientError.self) { try await client.request(.GET, "/") }
        }
    }

    @Test func aKeptConnectionThatWasClosedIsReplaced() async throws {
        try await serving { endpoint in
            let client = HTTPClient(endpoint: endpoint, group: MultiThreadedEventLoopGroup.singleton)
            for _ in 0..<20 { #expect(try await client.request(.GET, "/last").status == 200) }
            do {
                _ = try await client.request(.GET, "/hang-up")
                Issue.record("a reply out of nothing")
            } catch HTTPClientError.closed {}
            #expect(try await client.request(.GET, "/").status == 200)
            await client.close()
        }
    }

    /// The server hangs up so soon that the client has not put its handlers in place: the request fails at once, not after its time-out.
    @Test func aConnectionThatEndedBeforeItWasUsed() async throws {
        try await serving { endpoint in
            let first = Mutex(true)
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let client = HTTPClient(endpoint: endpoint, on: loop) { endpoint, loop, timeout in
                HTTPClientConnection.open(endpoint, loop, timeout).flatMap { channel in
                    let isFirst = first.withLock { first in
                        defer { first = false }
                        return first
                    }
                    // Inactive at once; its pipeline takes handlers for this round of the loop still, and never calls them.
                    if isFirst { channel.close(promise: nil) }
                    return loop.makeSucceededFuture(channel)
                }
            }
            do {
                _ = try await client.request(.GET, "/")
                Issue.record("a reply out of nothing")
            } catch HTTPClientError.closed {}
            #expect(try await client.request(.GET, "/").status == 200)
            await client.close()
        }
    }

    @Test func bounds() async throws {
        try await serving { endpoint in
            let small = HTTPClient(endpoint: endpoint, group: MultiThreadedEventLoopGroup.singleton, maxReplyBytes: 1000)
            do {
                _ = try await small.request(.GET, "/large")
                Issue.record("took a reply over the bound")
            } catch HTTPClientError.replyTooLarge {}
            #expect(try await small.request(.GET, "/").status == 200)
            await small.close()
            let hasty = HTTPClient(endpoint: endpoint, group: MultiThreadedEventLoopGroup.singleton, timeout: .milliseconds(50))
            do {
                _ = try await hasty.request(.GET, "/never")
                Issue.record("a reply out of nothing")
            } catch HTTPClientError.timeout {}
            await hasty.close()
        }
    }

    @Test(arguments: [
        (Endpoint.unix(path: "/nonexistent/socket"), ENOENT), (Endpoint.unix(path: "/dev/null"), ECONNREFUSED),
        (Endpoint.tcp(host: "127.0.0.1", port: 1), ECONNREFUSED),
    ])
    func theNumberOfAFailedConnectIsReadable(endpoint: Endpoint, number: Int32) async {
        let client = HTTPClient(endpoint: endpoint, group: MultiThreadedEventLoopGroup.singleton)
        do {
            _ = try await client.request(.GET, "/")
            Issue.record("connected to nothing")
        } catch {
            guard case .connect(let info) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(info.errnoCode == number)
        }
    }

    @Test func webSocketRoundTrip() async throws {
        try await serving { endpoint in
            let inbox = Inbox()
            let socket = try await WebSocketClient.connect(
                to: endpoint, path: "/ws", subprotocols: ["relay.v1.proto", "relay.v1.json"], maxMessageBytes: 100_000,
                on: MultiThreadedEventLoopGroup.singleton.next()
            ) { _ in inbox }
            #expect(socket.subprotocol == "relay.v1.json")
            let messages: [WebSocketMessage] = [
                .binary(ByteBuffer(bytes: [1, 2])), .text(ByteBuffer(string: "γεια σου κόσμε")), .binary(ByteBuffer(repeating: 9, count: 10_000)),
            ]
            socket.eventLoop.execute {
                for message in messages { socket.send(message) }
                socket.flush()
            }
            var found: [Inbox.Event] = []
            for await event in inbox.events {
                found.append(event)
                // Two of the answers come in fragments with a ping between them, and the server tells of each pong.
                if found.count == 5 { socket.close(code: 4000) }
            }
            let pong = Inbox.Event.message(.text(ByteBuffer(string: "pong")))
            #expect(found.filter { $0 != pong } == messages.map { .message($0) } + [.closed(4000)])
            #expect(found.filter { $0 == pong }.count == 2)
        }
    }

    @Test func aRefusedUpgradeGivesTheReply() async throws {
        try await serving { endpoint in
            do {
                _ = try await WebSocketClient.connect(
                    to: endpoint, path: "/teapot", maxMessageBytes: 1000, on: MultiThreadedEventLoopGroup.singleton.next()
                ) { _ in Inbox() }
                Issue.record("upgraded")
            } catch {
                guard case WebSocketConnectError.refused(let reply) = error else {
                    Issue.record("\(error)")
                    return
                }
                #expect(reply.status == 418)
                #expect(text(reply).hasPrefix("GET /teapot"))
            }
        }
    }
}
