import NIOCore
import RelayDirectory
import RelayHTTP
import RelayMessageSending
import RelayMetrics
import RelayModel
import RelayPresence
import RelayStorage
import RelayWire

/// What all connections of a gateway share. Any thread.
final class GatewayEnvironment: Sendable {
    let settings: GatewaySettings
    let directory: Directory
    let sending: MessageSending
    let presence: Presence
    let open: OpenConnections
    let limits: GatewayLimits
    private let sweeps: [ObjectIdentifier: ConnectionSweep<ConnectionHandler>]
    private let presenceLoops: [ObjectIdentifier: PresenceLoop]

    /// - Parameter loops: all that connections live on.
    init(
        settings: GatewaySettings, directory: Directory, sending: MessageSending, presence: Presence, open: OpenConnections, limits: GatewayLimits,
        loops: [any EventLoop]
    ) {
        self.settings = settings
        self.directory = directory
        self.sending = sending
        self.presence = presence
        self.open = open
        self.limits = limits
        sweeps = Dictionary(
            uniqueKeysWithValues: loops.map { loop in
                (ObjectIdentifier(loop), ConnectionSweep<ConnectionHandler>(on: loop, pingInterval: settings.pingInterval))
            })
        presenceLoops = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0), PresenceLoop(on: $0)) })
    }

    /// Those of a connection's loop that take part in presence.
    func presenceLoop(of loop: any EventLoop) -> PresenceLoop {
        guard let found = presenceLoops[ObjectIdentifier(loop)] else { preconditionFailure("a connection on a loop that is not ours") }
        return found
    }

    /// The sweep of a connection's loop.
    func sweep(of loop: any EventLoop) -> ConnectionSweep<ConnectionHandler> {
        guard let sweep = sweeps[ObjectIdentifier(loop)] else { preconditionFailure("a connection on a loop that is not ours") }
        return sweep
    }
}

/// One device's WebSocket after the upgrade: frames in, requests out; answers and envelopes in, frames out.
/// Confined to its event loop.
///
/// What a read burst or one tick produces gathers in `out` and is written and flushed once.
final class ConnectionHandler: ChannelInboundHandler, DeviceSink, SweptConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    // Most connections are idle: every byte here is there ten thousand times.
    private let environment: GatewayEnvironment
    private let principal: Principal
    private let visit: AddressVisit?
    /// Nil for a device without limits. Made with the first message: an idle connection does without.
    private lazy var allowance = environment.limits.allowance(for: principal, visit)
    private let encoding: WireEncoding

    /// A close frame is on its way; what comes is dropped.
    private var closing = false
    /// The relay stops, and answers to what this connection asked are still on their way; what comes is dropped.
    private var draining = false
    private var sendingPaused = false
    private var readingPaused = false
    private var inBurst = false
    /// The client ended the connection itself.
    private var loggedOut = false

    /// Sweeps since something was heard or taken by the socket.
    private var silence: UInt8 = 0
    var sweepPlace = ConnectionSweep<ConnectionHandler>.nowhere

    private var parser: WebSocketParser
    private var context: ChannelHandlerContext?
    private var stream: DeviceStream?
    /// Set while the device takes part in presence.
    private var seat: PresenceSeat?
    private var out = ByteBuffer()

    init(_ request: ConnectRequest, _ environment: GatewayEnvironment, _ visit: AddressVisit?) {
        self.visit = visit
        self.environment = environment
        principal = request.principal
        encoding = request.encoding
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
    func start(_ request: ConnectRequest) {
        guard let context else { return }
        environment.sweep(of: context.eventLoop).add(self)
        stream = environment.sending.connect(
            request.principal, cursor: request.cursor, receiptsVersion: request.receipts, sink: self, on: context.eventLoop)
        stream?.contactsSeen(request.contacts)
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
            drain(context)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// What was asked is answered first, within the time that a close may take; what comes now is dropped, and the client repeats it elsewhere.
    private func drain(_ context: ChannelHandlerContext) {
        guard let stream, !closing, !draining else { return end(.restarting) }
        draining = true
        context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(environment.settings.closeTimeout)) { [weak self] in
            self?.end(.restarting)
        }
        stream.drain()
    }

    private func finish() {
        if let context { environment.sweep(of: context.eventLoop).remove(self) }
        closing = true
        let ended = stream
        stream = nil
        ended?.closed()
        leavePresence(loggedOut: loggedOut)
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !closing, !draining else { return }
        inBurst = true
        silence = 0
        if let seat { environment.presence.heard(seat) }
        parser.append(unwrapInboundIn(data))
        readFrames()
    }

    /// What the socket has brought, up to where the stream holds back.
    private func readFrames() {
        while !closing, !draining, !sendingPaused, let event = parser.next() {
            switch event {
            case .message(let message): received(message)
            case .ping(let payload):
                // A client that sends pings without reading must not fill the memory.
                if isWritable { WebSocketFrames.write(.pong, payload: payload, mask: nil, into: &out) }
            case .pong: break
            case .close(let code, _):
                // "Going away" is what a browser says of a page that is closed.
                loggedOut = code == 1000 || code == 1001
                end(code: code ?? 1000, reason: "")
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
        silence = 0
        if context.channel.isWritable { stream?.becameWritable() }
        updateReading(context)
        context.fireChannelWritabilityChanged()
    }

    private func received(_ message: WebSocketMessage) {
        guard let stream else { return }
        let request = ClientRequest(message, encoding, maxBodyBytes: environment.settings.maxBodyBytes)
        handOn(request, to: stream)
    }

    /// The one place where what a client asks goes on to where it is done.
    private func handOn(_ request: ClientRequest, to stream: DeviceStream) {
        switch request {
        case .send(let request, let send):
            if let refusal = allowance?.refusal(of: send.clientMessageID) { return refuse(request, refusal) }
            stream.send(request: request, chat: send.chat, clientMessageID: send.clientMessageID, body: send.body, keys: send.keys)
        // Not rated: what the devices of a loop acknowledge gathers into one command now and then, however often they say it.
        case .acknowledge(let mailboxSeq): stream.acknowledge(mailboxSeq)
        case .read(let request, let chat, let chatSeq):
            if let refusal = allowance?.refusalOfRead() { return refuse(request, refusal) }
            stream.read(request: request, chat: chat, chatSeq: chatSeq)
        case .ping(let request): if request != 0 || isWritable { pong(request) }
        case .changeGroup(let request, let change):
            if let refusal = allowance?.refusal(of: change.clientMessageID) { return refuse(request, refusal) }
            stream.changeGroup(
                request: request, chat: change.chat, clientMessageID: change.clientMessageID, action: change.action, users: change.users,
                role: change.role, body: change.body, keys: change.keys)
        case .delete(let request, let delete):
            if let refusal = allowance?.refusal(of: delete.clientMessageID) { return refuse(request, refusal) }
            stream.delete(
                request: request, chat: delete.chat, clientMessageID: delete.clientMessageID, seqs: delete.seqs, forEveryone: delete.forEveryone)
        case .contactsSeen(let version): stream.contactsSeen(version)
        case .presence(let request, let mode): takePart(request, mode)
        case .invalid(let request, let failure):
            // Whoever sends something numbers the request; acknowledgements and the like are not.
            if request != 0 { environment.settings.metrics.sends.add(.malformed) }
            write(ServerFrames.error(request, failure))
        case .unreadable(let failure):
            environment.settings.metrics.sends.add(.malformed)
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

    // MARK: Presence

    private func takePart(_ request: UInt64, _ mode: PresenceMode) {
        guard let context else { return }
        if mode == .leave {
            leavePresence(loggedOut: true)
        } else {
            let lane = environment.presenceLoop(of: context.eventLoop)
            let seat = seat ?? PresenceSeat(user: principal.user, device: principal.device, lane: lane)
            self.seat = seat
            lane.add(seat, self)
            environment.presence.join(seat, mode)
        }
        write(ServerFrames.terms(request, environment.presence.terms))
    }

    private func leavePresence(loggedOut: Bool) {
        guard let seat else { return }
        self.seat = nil
        if let context { environment.presenceLoop(of: context.eventLoop).remove(seat) }
        environment.presence.leave(seat, loggedOut: loggedOut)
    }

    /// On the loop; writes and flushes.
    func push(_ update: PresenceUpdate) {
        var frame = Relay_V1_ServerFrame()
        frame.presence = ServerFrames.presence(update.users, isSnapshot: update.isSnapshot)
        write(frame)
        flush()
    }

    // MARK: Out (DeviceSink)

    var isWritable: Bool {
        guard let context, !closing else { return false }
        return context.channel.isWritable && out.readableBytes < Limits.socketHighWatermarkBytes
    }

    func answer(_ request: UInt64, _ answer: SendAnswer) {
        switch (encoding, answer) {
        case (.proto, .sent(let outcome)): write { PlainFrames.sent(request, outcome, into: &$0) }
        case (.proto, .done): write { PlainFrames.receipts(request, [], into: &$0) }
        default: write(ServerFrames.answer(request, answer))
        }
    }

    func push(_ envelopes: ArraySlice<StoredEnvelope>) {
        switch encoding {
        case .proto: write { PlainFrames.deliver(envelopes, to: principal.device, into: &$0) }
        case .json: write(ServerFrames.deliver(envelopes, to: principal.device))
        }
    }

    func push(_ receipts: [ReceiptRow]) {
        switch encoding {
        case .proto: write { PlainFrames.receipts(0, receipts, into: &$0) }
        case .json: write(ServerFrames.receipts(receipts))
        }
    }

    func push(_ contacts: [ContactRow]) { write(ServerFrames.contacts(contacts)) }

    func push(_ change: KeyChange) { write(ServerFrames.keyChange(change)) }

    func caughtUp(_ mailboxSeq: UInt64) {
        switch encoding {
        case .proto: write { PlainFrames.caughtUp(mailboxSeq, into: &$0) }
        case .json: write(ServerFrames.caughtUp(mailboxSeq))
        }
    }

    func announce(_ positions: [ChatPosition]) {
        for position in positions {
            switch encoding {
            case .proto: write { PlainFrames.announcement(position.chat, position.seq, into: &$0) }
            case .json: write(ServerFrames.announcement(position.chat, position.seq))
            }
        }
    }

    private func pong(_ request: UInt64) {
        switch encoding {
        case .proto: write { PlainFrames.pong(request, into: &$0) }
        case .json: write(ServerFrames.pong(request))
        }
    }

    func pauseReading(_ paused: Bool) {
        sendingPaused = paused
        // The rest of what was read before; it may bring the next pause.
        if !paused { readFrames() }
        if let context { updateReading(context) }
    }

    func flush() {
        // During a read burst the end of the burst flushes.
        if !inBurst, let context { writeOut(context) }
    }

    func close(_ reason: StreamEnd) { end(reason.code) }

    private func write(_ frame: (inout ByteBuffer) -> Void) {
        guard !closing else { return }
        frame(&out)
    }

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
        // Not cancelled when the client is quicker: what remains then is small and soon gone.
        context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(environment.settings.closeTimeout)) { [weak self] in
            self?.context?.close(promise: nil)
        }
    }

    // MARK: Time

    /// Called ``Limits/webSocketSweeps`` times in a ping interval. Ends a connection that was silent for two intervals; pings one that was
    /// silent for one. A connection may outlive the token that opened it: a device that is revoked loses both at once.
    func sweep() {
        guard !closing, let context else { return }
        silence = silence == .max ? .max : silence + 1
        // What was heard between two sweeps is at most one sweep older than counted.
        if silence == Limits.webSocketSweeps + 1 {
            WebSocketFrames.write(.ping, payload: ByteBuffer(), mask: nil, into: &out)
            writeOut(context)
        } else if silence > 2 * Limits.webSocketSweeps {
            end(.timeout)
        }
    }
}
