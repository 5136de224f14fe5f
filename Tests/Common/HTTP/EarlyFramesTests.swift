import NIOCore
import NIOPosix
import RelayTLS
import Synchronization
import Testing

@testable import RelayHTTP

/// Answers the handshake and says more in the same packet, as a relay does that upgrades a connection and ends it at once.
private final class Eager: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let frames: [UInt8]
    private let hangsUp: Bool
    private var request = ""

    init(frames: [UInt8], hangsUp: Bool) {
        self.frames = frames
        self.hangsUp = hangsUp
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        request += String(buffer: unwrapInboundIn(data))
        guard request.hasSuffix("\r\n\r\n"),
            let line = request.split(separator: "\r\n").first(where: { $0.lowercased().hasPrefix("sec-websocket-key:") })
        else { return }
        let key = line.split(separator: ":")[1].drop { $0 == " " }
        var reply = ByteBuffer(
            string: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: \(WebSocketAccept.key(for: String(key)))\r\n\r\n")
        reply.writeBytes(frames)
        request = ""
        context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
        if hangsUp { context.close(promise: nil) }
    }
}

/// Answers every message at once, and tells how the connection ended.
private final class Answering: WebSocketDelegate {
    private let channel: WebSocketClientChannel
    private let ended: EventLoopPromise<String>
    private var received: [String] = []

    init(_ channel: WebSocketClientChannel, _ ended: EventLoopPromise<String>) {
        self.channel = channel
        self.ended = ended
    }

    func received(_ message: WebSocketMessage) {
        if case .text(let text) = message { received.append(String(buffer: text)) }
        channel.send(.text(ByteBuffer(string: "yes")))
    }

    func readComplete() { channel.flush() }

    func closed(code: UInt16?, reason: String) { ended.succeed("\(received.joined(separator: " ")) \(code.map(String.init) ?? "-")") }
}

@Suite struct EarlyFramesTests {
    /// A ping, “hi”, and a close with 1012: all of them make the client write while its HTTP codecs are still being removed.
    @Test(.timeLimit(.minutes(10)), arguments: [false, true]) func framesRightBehindTheHandshake(hangsUp: Bool) async throws {
        let frames: [UInt8] = [0x89, 0x00, 0x81, 0x02, 0x68, 0x69, 0x88, 0x02, 0x03, 0xf4]
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Eager(frames: frames, hangsUp: hangsUp)) }
        }.bind(host: "127.0.0.1", port: 0).get()
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        for _ in 0..<20 {
            let ended = loop.makePromise(of: String.self)
            _ = try await WebSocketClient.connect(
                to: .tcp(host: "127.0.0.1", port: server.localAddress?.port ?? 0), path: "/", maxMessageBytes: 100, on: loop
            ) { Answering($0, ended) }
            let end = try await ended.futureResult.get()
            // When the other side hung up as well, the socket may be gone before its last words are read.
            #expect(end == "hi 1012" || (hangsUp && end == " -"))
        }
        try await server.close()
    }
}
