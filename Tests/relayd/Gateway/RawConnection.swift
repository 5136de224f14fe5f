import NIOCore
import NIOPosix
import RelayHTTP
import RelayWire
import SwiftProtobuf
import Testing

/// A TCP connection whose bytes a test writes and reads itself. Used by one task at a time.
final class RawConnection {
    struct Head {
        var status: Int
        var headers: [String: String]
    }
    struct Ended: Error {}

    let channel: any Channel
    private var chunks: AsyncStream<ByteBuffer>.AsyncIterator
    private var unread = ByteBuffer()
    private var parser = WebSocketParser(role: .client, maxMessageBytes: 4 << 20)

    private init(_ channel: any Channel, _ chunks: AsyncStream<ByteBuffer>) {
        self.channel = channel
        self.chunks = chunks.makeAsyncIterator()
    }

    deinit { channel.close(promise: nil) }

    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        let sink: AsyncStream<ByteBuffer>.Continuation
        init(_ sink: AsyncStream<ByteBuffer>.Continuation) { self.sink = sink }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { sink.yield(unwrapInboundIn(data)) }
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if (event as? ChannelEvent) == .inputClosed { sink.finish() }
        }
        func channelInactive(context: ChannelHandlerContext) { sink.finish() }
        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            sink.finish()
            context.close(promise: nil)
        }
    }

    static func open(port: Int) async throws -> RawConnection {
        let (chunks, sink) = AsyncStream<ByteBuffer>.makeStream()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true).channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in channel.pipeline.addHandler(Collector(sink)) }
            .connect(host: "127.0.0.1", port: port).get()
        return RawConnection(channel, chunks)
    }

    func send(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }
    func send(text: String) { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
    func close() { channel.close(promise: nil) }

    // MARK: HTTP

    /// Reads a reply's head; what follows stays unread.
    func replyHead() async throws -> Head {
        let end = Array("\r\n\r\n".utf8)
        while true {
            let bytes = Array(unread.readableBytesView)
            if let index = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) {
                let lines = String(decoding: bytes[..<index], as: UTF8.self).split(separator: "\r\n")
                unread.moveReaderIndex(forwardBy: index + 4)
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    headers[parts[0].lowercased()] = parts.count == 2 ? String(parts[1].drop { $0 == " " }) : ""
                }
                let status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
                return Head(status: status ?? 0, headers: headers)
            }
            guard var more = await chunks.next() else { throw Ended() }
            unread.writeBuffer(&more)
        }
    }

    /// Reads a whole reply that must be a `relay.v1.Error` in JSON.
    func failure() async throws -> (status: Int, error: Relay_V1_Error, head: Head) {
        let head = try await replyHead()
        let length = head.headers["content-length"].flatMap { Int($0) } ?? 0
        while unread.readableBytes < length {
            guard var more = await chunks.next() else { throw Ended() }
            unread.writeBuffer(&more)
        }
        let body = unread.readBytes(length: length) ?? []
        return (head.status, try Relay_V1_Error(jsonUTF8Bytes: body), head)
    }

    /// True when the server ends the connection without another byte.
    func endsNow() async -> Bool {
        guard unread.readableBytes == 0 else { return false }
        return await chunks.next() == nil
    }

    // MARK: WebSocket

    /// The next event of the server; nil when it ended the connection.
    func event() async -> WebSocketParser.Event? {
        while true {
            if unread.readableBytes > 0 {
                parser.append(unread)
                unread = ByteBuffer()
            }
            if let event = parser.next() { return event }
            guard let more = await chunks.next() else { return nil }
            unread = more
        }
    }

    /// The next frame of the protocol, in either encoding.
    func frame() async throws -> Relay_V1_ServerFrame {
        switch await event() {
        case .message(.binary(let bytes)): return try Relay_V1_ServerFrame(serializedBytes: Array(bytes.readableBytesView))
        case .message(.text(let bytes)): return try Relay_V1_ServerFrame(jsonUTF8Bytes: Array(bytes.readableBytesView))
        case let other:
            Issue.record("no frame but \(String(describing: other))")
            throw Ended()
        }
    }

    /// Reads frames until one is of interest.
    func frame(where wanted: (Relay_V1_ServerFrame) -> Bool) async throws -> Relay_V1_ServerFrame {
        while true {
            let frame = try await frame()
            if wanted(frame) { return frame }
        }
    }

    /// The close code with which the server ends the connection, whatever it sends before.
    func closeCode() async -> UInt16? {
        while let event = await event() {
            if case .close(let code, _) = event { return code }
        }
        return nil
    }

    func send(_ frame: Relay_V1_ClientFrame, json: Bool = false) throws {
        let payload: [UInt8] = json ? try frame.jsonUTF8Bytes() : try frame.serializedBytes()
        var bytes = ByteBuffer()
        WebSocketFrames.write(json ? .text : .binary, payload: ByteBuffer(bytes: payload), mask: .random(in: .min ... .max), into: &bytes)
        channel.writeAndFlush(bytes, promise: nil)
    }

    /// A raw frame, masked.
    func send(opcode: WebSocketOpcode, _ payload: [UInt8], fin: Bool = true) {
        var bytes = ByteBuffer()
        WebSocketFrames.writeHeader(opcode, payloadBytes: payload.count, mask: 0, fin: fin, into: &bytes)
        bytes.writeBytes(payload)
        channel.writeAndFlush(bytes, promise: nil)
    }
}

extension Relay_V1_ClientFrame {
    static func ping(_ request: UInt64) -> Relay_V1_ClientFrame {
        var frame = Relay_V1_ClientFrame()
        frame.requestID = request
        frame.ping = Relay_V1_Ping()
        return frame
    }

    static func ack(_ seq: UInt64) -> Relay_V1_ClientFrame {
        var frame = Relay_V1_ClientFrame()
        frame.ack.mailboxSeq = seq
        return frame
    }
}
