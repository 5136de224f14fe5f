import Foundation
import NIOCore
import RelayHTTP
import RelayModel
import RelayTLS

/// One connection: the handshake of RFC 6455, then every message back to its sender. Treats control frames, the close handshake and a slow
/// reader as the gateway's connection does. Confined to its event loop.
final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var head = ByteBuffer()
    private var upgraded = false
    private var parser = WebSocketParser(role: .server, maxMessageBytes: WebSocketEcho.maxMessageBytes)
    private var out = ByteBuffer()
    private var closing = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !closing else { return }
        var bytes = unwrapInboundIn(data)
        if !upgraded {
            guard let rest = handshake(context, &bytes) else { return }
            bytes = rest
        }
        parser.append(bytes)
        while !closing, let event = parser.next() {
            switch event {
            case .message(.text(let payload)): WebSocketFrames.write(.text, payload: payload, mask: nil, into: &out)
            case .message(.binary(let payload)): WebSocketFrames.write(.binary, payload: payload, mask: nil, into: &out)
            case .ping(let payload): WebSocketFrames.write(.pong, payload: payload, mask: nil, into: &out)
            case .pong: break
            case .close(let code, _): end(context, code: code ?? 1000)
            case .failed(let code, let reason): end(context, code: code, reason: reason)
            }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush(context)
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // A client that does not read its echoes is not read from.
        try? context.channel.syncOptions?.setOption(.autoRead, value: closing || context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func flush(_ context: ChannelHandlerContext) {
        guard out.readableBytes > 0 else { return }
        let bytes = out
        out = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    private func end(_ context: ChannelHandlerContext, code: UInt16, reason: String = "") {
        closing = true
        WebSocketFrames.writeClose(code: code, reason: reason, mask: nil, into: &out)
        flush(context)
        context.close(mode: .output, promise: nil)
        context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(Limits.webSocketCloseTimeout)) { context.close(promise: nil) }
    }

    /// Answers the upgrade once its head is there; gives what came behind it.
    private func handshake(_ context: ChannelHandlerContext, _ bytes: inout ByteBuffer) -> ByteBuffer? {
        head.writeBuffer(&bytes)
        let text = String(buffer: head)
        guard let end = text.range(of: "\r\n\r\n") else {
            if head.readableBytes > Limits.headerBytes { context.close(promise: nil) }
            return nil
        }
        let fields = text[..<end.lowerBound].split(separator: "\r\n").dropFirst().map { $0.split(separator: ":", maxSplits: 1) }
        guard let field = fields.first(where: { $0.count == 2 && $0[0].lowercased() == "sec-websocket-key" }) else {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")), promise: nil)
            context.close(promise: nil)
            return nil
        }
        let key = field[1].drop { $0 == " " }.prefix { $0 != " " }
        let reply = """
            HTTP/1.1 101 Switching Protocols\r
            Upgrade: websocket\r
            Connection: Upgrade\r
            Sec-WebSocket-Accept: \(WebSocketAccept.key(for: String(key)))\r
            \r

            """
        out.writeString(reply)
        upgraded = true
        let headBytes = text[..<end.upperBound].utf8.count
        head.moveReaderIndex(forwardBy: headBytes)
        defer { head = ByteBuffer() }
        return head
    }
}
