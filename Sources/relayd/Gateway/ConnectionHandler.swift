import NIOCore
import RelayDirectory
import RelayHTTP
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayWire

/// What all connections of a gateway share. Any thread.
struct GatewayEnvironment: Sendable {
    let settings: GatewaySettings
    let directory: Directory
    let sending: MessageSending
    let open: OpenConnections
    let limits: GatewayLimits
}

/// One device's WebSocket after the upgrade: frames in, requests out; answers and envelopes in, frames out.
/// Confined to its event loop.
///
/// What a read burst or one tick produces gathers in `out` and is written and flushed once.
final class ConnectionHandler: ChannelInboundHandler, DeviceSink {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let environment: GatewayEnvironment
    private let principal: Principal
    private let encoding: WireEncoding
    private let connect: (cursor: UInt64, receipts: UInt64)
    private let visit: AddressVisit?
    /// Nil for a device without limits. Made with the first message: an idle connection does without.
    private lazy var allowance = environment.limits.allowance(for: principal, visit)

    private var parser: WebSocketParser
    private var context: ChannelHandlerContext?
    private var stream: DeviceStream?
    private var out = ByteBuffer()
    /// A close frame is on its way; what comes is dropped.
    private var closing = false

    private var sendingPaused = false
    private var readingPaused = false
    private var inBurst = false

    private var timer: Scheduled<Void>?
    private var lastHeard = NIODeadline.now()
    private var pinged = false

    init(_ request: ConnectRequest, _ environment: GatewayEnvironment, _ visit: AddressVisit?) {
        self.visit = visit
        self.environment = environment
        principal = request.principal
        encoding = request.encoding
        connect = (request.cursor, request.receipts)
        parser = WebSocketParser(
            role: .server,
            maxMessageBytes: request.encoding == .proto ? environment.settings.maxSendBytes : environment.settings.maxJSONSendBytes)
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        environment.open.opened()
    }

    /// Begins to deliver. Called when the answer to the upgrade is on its way and nothing of HTTP stands between here and the socket.
    func start() {
        guard let context else { return }
        scheduleTimer(context)
        stream = environment.sending.connect(
            principal, cursor: connect.cursor, receiptsVersion: connect.receipts, sink: self, on: context.eventLoop)
        // Between the check of the token and this line the device may have been revoked, without a stream that could be told.
        if let refusal = environment.directory.refusal(of: principal.device) { end(WireFailure(refusal).code) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish()
        self.context = nil
        environment.open.closed()
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            end(.restarting)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    private func finish() {
        timer?.cancel()
        timer = nil
        closing = true
        let ended = stream
        stream = nil
        ended?.closed()
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !closing else { return }
        inBurst = true
        lastHeard = .now()
        pinged = false
        parser.append(unwrapInboundIn(data))
        while !closing, let event = parser.next() {
            switch event {
            case .message(let message): received(message)
            case .ping(let payload):
                // A client that sends pings without reading must not fill the memory.
                if isWritable { WebSocketFrames.write(.pong, payload: payload, mask: nil, into: &out) }
            case .pong: break
            case .close(let code, _): end(code: code ?? 1000, reason: "")
            case .failed(let code, let reason): end(code: code, reason: reason)
            }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        inBurst = false
        writeOut(context)
        updateReading(context)
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        lastHeard = .now()
        if context.channel.isWritable { stream?.becameWritable() }
        updateReading(context)
        context.fireChannelWritabilityChanged()
    }

    private func received(_ message: WebSocketMessage) {
        guard let stream else { return }
        switch ClientRequest(message, encoding, maxBodyBytes: environment.settings.maxBodyBytes) {
        case .send(let request, let send):
            if let refusal = allowance?.refusal(of: send.clientMessageID) { return refuse(request, refusal) }
            stream.send(request: request, chat: send.chat, clientMessageID: send.clientMessageID, body: send.body, keys: send.keys)
        case .acknowledge(let mailboxSeq): stream.acknowledge(mailboxSeq)
        case .read(let request, let chat, let chatSeq): stream.read(request: request, chat: chat, chatSeq: chatSeq)
        case .ping(let request): if request != 0 || isWritable { write(ServerFrames.pong(request)) }
        case .invalid(let request, let failure): write(ServerFrames.error(request, failure))
        case .unreadable(let failure):
            write(ServerFrames.error(0, failure))
            end(failure.code)
        case .wrongType: end(code: 1003, reason: "\(encoding.subprotocol) has \(encoding == .proto ? "binary" : "text") messages only")
        }
    }

    /// The sender of a frame without a request id wants no answer.
    private func refuse(_ request: UInt64, _ failure: WireFailure) {
        if request != 0 { write(ServerFrames.error(request, failure)) }
    }

    /// Reads only while the writer and the socket keep up.
    private func updateReading(_ context: ChannelHandlerContext) {
        guard !closing else { return }
        let pause = sendingPaused || !context.channel.isWritable
        guard pause != readingPaused else { return }
        readingPaused = pause
        try? context.channel.syncOptions?.setOption(.autoRead, value: !pause)
    }

    // MARK: Out (DeviceSink)

    var isWritable: Bool {
        guard let context, !closing else { return false }
        return context.channel.isWritable && out.readableBytes < Limits.socketHighWatermarkBytes
    }

    func answer(_ request: UInt64, _ answer: SendAnswer) { write(ServerFrames.answer(request, answer)) }

    func push(_ envelopes: [StoredEnvelope]) { write(ServerFrames.deliver(envelopes, to: principal.device)) }

    func push(_ receipts: [ReceiptRow]) { write(ServerFrames.receipts(receipts)) }

    func caughtUp(_ mailboxSeq: UInt64) { write(ServerFrames.caughtUp(mailboxSeq)) }

    func pauseReading(_ paused: Bool) {
        sendingPaused = paused
        if let context { updateReading(context) }
    }

    func flush() {
        // During a read burst the end of the burst flushes.
        if !inBurst, let context { writeOut(context) }
    }

    func close(_ reason: StreamEnd) { end(reason.code) }

    private func write(_ frame: Relay_V1_ServerFrame) {
        guard !closing else { return }
        // Encoding fails only for messages of more than 2 GB; a page has at most ``Limits/drainPageBytes`` and one body.
        guard let payload = try? encoding.encode(frame) else { return end(.internal) }
        WebSocketFrames.write(encoding == .proto ? .binary : .text, payload: payload, mask: nil, into: &out)
    }

    private func writeOut(_ context: ChannelHandlerContext) {
        guard out.readableBytes > 0 else { return }
        let bytes = out
        // No buffer is kept for an idle connection.
        out = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    // MARK: The end

    private func end(_ code: ErrorCode) { end(code: code.closeCode ?? 1011, reason: code.rawValue) }

    /// Sends a close frame and our end of the stream; the client's end, or the time-out, closes the socket. Closing it at once would
    /// discard the close frame when something unread is left in the socket.
    private func end(code: UInt16, reason: String) {
        guard !closing, let context else { return }
        finish()
        WebSocketFrames.writeClose(code: code, reason: reason, mask: nil, into: &out)
        writeOut(context)
        context.close(mode: .output, promise: nil)
        if readingPaused { try? context.channel.syncOptions?.setOption(.autoRead, value: true) }
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(environment.settings.closeTimeout)) { [weak self] in
            self?.context?.close(promise: nil)
        }
    }

    // MARK: Time

    private func scheduleTimer(_ context: ChannelHandlerContext) {
        let interval = TimeAmount(environment.settings.pingInterval)
        let silence = lastHeard + (pinged ? interval * 2 : interval)
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: silence) { [weak self] in self?.tick() }
    }

    /// Ends a connection that was silent for two intervals; pings one that was silent for one. A connection may outlive the token that
    /// opened it: a device that is revoked loses both at once.
    private func tick() {
        guard !closing, let context else { return }
        let now = NIODeadline.now()
        let interval = TimeAmount(environment.settings.pingInterval)
        if now >= lastHeard + interval * 2 { return end(.timeout) }
        if now >= lastHeard + interval, !pinged {
            pinged = true
            WebSocketFrames.write(.ping, payload: ByteBuffer(), mask: nil, into: &out)
            writeOut(context)
        }
        scheduleTimer(context)
    }
}
