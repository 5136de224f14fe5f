import FoundationEssentials
import NIOCore
import NIOPosix
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf

/// One device at work: keeps a stream to the relay open, sends what is in the outbox, stores what comes, acknowledges it.
///
/// The actor runs on one event loop, the same as its connection, so that what the socket gives is handled at once, without a task a message. The state's
/// database is used on that loop too: give a client that must not wait for others' disks a loop of its own.
///
/// One transaction a read burst: answers, envelopes, receipts and newly sealed messages are on disk together; only then acknowledgements
/// and sends leave.
package actor Session {
    package nonisolated let loop: any EventLoop
    package nonisolated let account: Account
    private nonisolated let executor: any SerialExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let endpoint: Endpoint
    private let api: RelayAPI
    private let secrets: DeviceSecrets
    private let settings: SessionSettings
    private let events: @Sendable (SessionEvent) -> Void
    private var state: ClientState?
    private var jitter: SeededGenerator

    // The life of the session.
    private var wanted = false
    private var runner: Task<Void, Never>?
    private var failure: ClientError?
    private var wake: CheckedContinuation<Void, Never>?
    private var waiters: [Int: Waiter] = [:]
    private var nextWaiter = 0

    // The connection.
    private var channel: WebSocketClientChannel?
    private var established = false
    /// Which connection this is: what was asked for another one is not handled any more.
    private var connectionNumber = 0
    private var caughtUpFlag = false
    private var ending: CheckedContinuation<StreamEnd, Never>?
    private var ended: StreamEnd?
    private var lastHeard = NIODeadline.now()
    private var token: (text: String, expires: Timestamp)?

    // Sending.
    private var window = SendWindow()
    private var requests: [UInt64: UInt64] = [:]
    private var nextRequest: UInt64 = 1
    private var preparing = false
    private var pumpAfter: Scheduled<Void>?
    /// What the relay takes at most; it says so in `GET /v1/info`.
    private var maxBodyBytes = Limits.bodyBytes
    private var knowsLimits = false
    /// Chats whose devices changed since they were last fetched.
    private var staleChats: Set<ChatID> = []
    private var knownRecipients: [ChatID: [KnownDevice]] = [:]
    /// Chats in which a device's keys cannot be trusted, and why.
    private var unsafeChats: [ChatID: (code: String, reason: String)] = [:]

    // Receiving.
    private var frames: [Relay_V1_ServerFrame] = []
    private var waitingEnvelopes: [Relay_V1_Envelope] = []
    private var lookingUp = false
    /// Senders and chats that the relay could not tell anything about in this session.
    private var lookedUp: Set<Lookup> = []
    private var caughtUpAt: UInt64?

    private struct Waiter {
        var condition: @Sendable (isolated Session) -> Bool
        var continuation: CheckedContinuation<Result<Void, ClientError>, Never>
        var timer: Scheduled<Void>?
    }

    private struct StreamEnd: Sendable {
        var code: UInt16?
        var reason: String
    }

    private struct Lookup: Hashable {
        var chat: ChatID
        var user: UserID
        var device: DeviceID
    }

    /// Opens a device's state; ``start()`` connects.
    /// - Parameter events: called on the loop, for each event in order; must return soon and may call back into the session with `assumeIsolated`.
    package init(
        _ directory: StateDirectory, on loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next(),
        settings: SessionSettings = SessionSettings(),
        events: @escaping @Sendable (SessionEvent) -> Void = { _ in }
    ) throws(ClientError) {
        let (state, secrets, account) = try ClientState.open(directory)
        let endpoint: Endpoint
        do { endpoint = try Endpoint(url: account.relay) } catch {
            throw .state(
                path: directory.path, problem: "names a relay that cannot be used: \(error.description)", hint: "enrol again in another directory")
        }
        self.loop = loop
        executor = loop.executor
        self.account = account
        self.state = state
        self.secrets = secrets
        self.endpoint = endpoint
        self.settings = settings
        self.events = events
        api = RelayAPI(endpoint: endpoint, group: loop)
        var system = SystemRandomNumberGenerator()
        jitter = SeededGenerator(seed: settings.jitterSeed ?? system.next())
        var window = SendWindow()
        do throws(ClientError) {
            window.add(
                try state.transaction { try state.sealedOutbox() }.compactMap { entry in
                    guard let chat = entry.chat, let id = entry.clientMessageID else { return nil }
                    return SendWindow.Sealed(row: entry.id, chat: chat, clientMessageID: id)
                })
        } catch {
            throw error
        }
        self.window = window
    }

    // MARK: Life

    /// Connects, and connects again whenever the connection is lost, until ``goOffline()`` or ``close()``.
    package func start() {
        guard runner == nil, failure == nil, state != nil else { return }
        wanted = true
        runner = Task { await self.run() }
    }

    /// Ends the connection and stays offline; messages can still be queued. ``start()`` connects again.
    package func goOffline() async {
        wanted = false
        channel?.close(code: 1000)
        wakeUp()
        await runner?.value
        runner = nil
    }

    /// Ends the connection without a word, as a lost network does; the session connects again by itself.
    package func loseConnection() { channel?.abort() }

    /// Ends the session and lets go of the state directory.
    package func close() async {
        await goOffline()
        pumpAfter?.cancel()
        pumpAfter = nil
        await api.close()
        state = nil
        checkWaiters()
    }

    private func run() async {
        var backoff = settings.backoff
        let watch = loop.scheduleRepeatedTask(initialDelay: .seconds(15), delay: .seconds(15)) { [weak self] _ in
            self?.assumeIsolated { $0.checkThatTheRelayLives() }
        }
        defer { watch.cancel() }
        while wanted, failure == nil {
            let problem: ClientError
            var wait: Duration?
            do throws(ClientError) {
                let end = try await connectOnce()
                if caughtUpFlag { backoff.succeeded() }
                (problem, wait) = judge(end)
            } catch {
                (problem, wait) = judge(error)
            }
            disconnected()
            guard wanted else { break }
            if let failure {
                events(.ended(failure))
                break
            }
            let pause = wait ?? backoff.next(using: &jitter)
            events(.disconnected(problem, retryIn: pause))
            await sleep(pause)
        }
        checkWaiters()
    }

    private func connectOnce() async throws(ClientError) -> StreamEnd {
        let state = try working()
        let token = try await currentToken()
        if !knowsLimits {
            maxBodyBytes = Int(try await api.info().maxBodyBytes)
            knowsLimits = true
        }
        let path = "/v1/connect?cursor=\(try state.cursor())&receipts=\(try state.receiptsVersion())"
        ended = nil
        caughtUpFlag = false
        established = false
        do {
            let opened = try await WebSocketClient.connect(
                to: endpoint, path: path, headers: [("Authorization", "Bearer \(token)")], subprotocols: ["relay.v1.proto"],
                maxMessageBytes: Limits.clientFrameBytes, on: loop
            ) { channel in
                self.assumeIsolated { $0.channel = channel }
                return StreamDelegate(self)
            }
            guard opened.subprotocol == "relay.v1.proto" else {
                opened.close(code: 1002)
                throw ClientError.protocolViolation("the relay does not speak relay.v1.proto")
            }
        } catch let error as ClientError {
            throw error
        } catch let error as WebSocketConnectError {
            switch error {
            case .refused(let reply): throw RelayAPI.refusal(reply)
            case .malformed(let what): throw .protocolViolation(what)
            case .connect, .timeout, .closed: throw .unreachable(error.description)
            }
        } catch {
            throw .unreachable("\(error)")
        }
        if ended == nil {
            guard wanted else {
                channel?.close(code: 1000)
                return await streamEnd()
            }
            established = true
            lastHeard = .now()
            events(.connected)
            do throws(ClientError) {
                for read in try state.transaction({ try state.unconfirmedReads(of: account.user) }) { sendRead(read.chat, read.seq) }
            } catch { fail(error) }
            burst()
        }
        return await streamEnd()
    }

    private func streamEnd() async -> StreamEnd {
        if let ended { return ended }
        return await withCheckedContinuation { ending = $0 }
    }

    /// A token that is good for a while yet.
    private func currentToken() async throws(ClientError) -> String {
        if let token, settings.clock.now() + Limits.tokenMargin < token.expires { return token.text }
        let reply = try await api.token(device: account.device, secrets: secrets)
        guard !reply.token.isEmpty else { throw .protocolViolation("the relay gave an empty token") }
        token = (reply.token, Timestamp(milliseconds: reply.expiresAtMs))
        return reply.token
    }

    /// What a close code means: the error to show, and the wait where it is not the back-off's.
    private func judge(_ end: StreamEnd) -> (ClientError, Duration?) {
        let text = end.reason.isEmpty ? "the connection ended" + (end.code.map { " with code \($0)" } ?? "") : end.reason
        switch end.code {
        case 1012:
            return (.unreachable("the relay restarts"), Backoff.jitter(upTo: Limits.restartSpread, using: &jitter))
        case 4401:
            token = nil
            return (.unreachable("the token was not accepted any more"), nil)
        case 4403:
            failure = .revoked("")
            return (.revoked(""), nil)
        case 4409:
            failure = .replaced
            return (.replaced, nil)
        case 4410:
            let error = ClientError.refused(
                Refusal(
                    code: "cursor_ahead", message: "the relay has less than this device received: it was set back to an older state",
                    hint: "ask the operator; to go on, enrol again in another directory (the history here stays readable)"))
            failure = error
            return (error, nil)
        default:
            return (failure ?? .unreachable(text), nil)
        }
    }

    private func judge(_ error: ClientError) -> (ClientError, Duration?) {
        guard case .refused(let refusal) = error else {
            if case .store = error { failure = error }
            return (error, nil)
        }
        switch refusal.code {
        case "token_expired": token = nil
        case "unauthorized" where token != nil: token = nil
        case "device_revoked", "unauthorized":
            failure = .revoked(refusal.message)
        case "replaced":
            failure = .replaced
        case "challenge_expired": break
        default:
            if !refusal.isTemporary, refusal.status < 500 { failure = error }
        }
        return (error, refusal.retryAfter)
    }

    private func disconnected() {
        channel = nil
        established = false
        connectionNumber += 1
        preparing = false
        lookingUp = false
        frames = []
        waitingEnvelopes = []
        caughtUpAt = nil
        lookedUp = []
        requests = [:]
        pumpAfter?.cancel()
        pumpAfter = nil
        window.disconnected()
    }

    private func working() throws(ClientError) -> ClientState {
        guard let state else { throw .stopped }
        return state
    }

    /// The disk failed, or something as bad: nothing more is acknowledged, the session ends.
    private func fail(_ error: ClientError) {
        if failure == nil { failure = error }
        channel?.abort()
    }

    private func checkThatTheRelayLives() {
        guard established, NIODeadline.now() - lastHeard > TimeAmount(Limits.relaySilence) else { return }
        channel?.abort()
    }

    private func sleep(_ duration: Duration) async {
        let timer = loop.scheduleTask(in: TimeAmount(duration)) { [weak self] in self?.assumeIsolated { $0.wakeUp() } }
        await withCheckedContinuation { wake = $0 }
        timer.cancel()
    }

    private func wakeUp() {
        wake?.resume()
        wake = nil
    }

    // MARK: For the owner

    /// Queues messages for a user, in this order; on disk when it returns. Their numbers name them from now on.
    @discardableResult
    package func send(_ texts: [String], to recipient: String) throws(ClientError) -> [Int64] {
        let state = try working()
        let name: String
        do { name = try UserName(recipient).text } catch { throw .userName(error.description) }
        guard try state.outboxCount() + texts.count <= Limits.clientOutbox else { throw .outboxFull(limit: Limits.clientOutbox) }
        let now = settings.clock.now()
        let ids = try state.transaction { try texts.map { try state.enqueue($0, to: name, writtenAt: now) } }
        if established { burst() }
        return ids
    }

    @discardableResult
    package func send(_ text: String, to recipient: String) throws(ClientError) -> Int64 {
        guard let id = try send([text], to: recipient).first else { throw .stopped }
        return id
    }

    /// The person has read the chat up to and with `seq`. Kept, and told to the relay as soon as it can be.
    package func markRead(_ chat: ChatID, _ seq: UInt64) throws(ClientError) {
        let state = try working()
        try state.transaction { try state.storeRead(chat, seq) }
        if established {
            sendRead(chat, seq)
            channel?.flush()
        }
    }

    /// Reads the state between two bursts.
    package func read<Value: Sendable>(_ body: @Sendable (ClientState) throws(ClientError) -> Value) throws(ClientError) -> Value {
        try body(working())
    }

    package var isConnected: Bool { established }
    /// Everything that waited in the mailbox when this connection was opened has been stored.
    package var isCaughtUp: Bool { established && caughtUpFlag }
    /// Why the session ended by itself.
    package var endedBecause: ClientError? { failure }

    /// Waits until the condition holds. It is looked at after each burst and each change.
    package func wait(for what: String, timeout: Duration? = nil, until condition: @escaping @Sendable (isolated Session) -> Bool)
        async throws(ClientError)
    {
        if condition(self) { return }
        if let failure { throw failure }
        guard state != nil else { throw .stopped }
        let number = nextWaiter
        nextWaiter += 1
        let result = await withCheckedContinuation { continuation in
            var waiter = Waiter(condition: condition, continuation: continuation)
            if let timeout {
                waiter.timer = loop.scheduleTask(in: TimeAmount(timeout)) { [weak self] in
                    self?.assumeIsolated { $0.waiters.removeValue(forKey: number)?.continuation.resume(returning: .failure(.timeout(what))) }
                }
            }
            waiters[number] = waiter
        }
        try result.get()
    }

    /// Waits until each of these messages has got as far as `stage`, or is a dead letter.
    package func wait(for ids: [Int64], _ stage: SendStage, timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "messages to be \(stage)", timeout: timeout) { session in
            // The last one first: while it is not there the others need not be looked at.
            ids.reversed().allSatisfy { id in session.hasReached(id, stage) }
        }
    }

    private func hasReached(_ id: Int64, _ stage: SendStage) -> Bool {
        guard let state, let reached = try? state.stage(of: id) else { return false }
        return reached >= stage
    }

    /// Waits until nothing is left in the outbox.
    package func waitUntilSent(timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "the outbox to be empty", timeout: timeout) { $0.outboxIsEmpty }
    }

    /// Nothing waits to be sent or to be answered.
    package var outboxIsEmpty: Bool {
        guard window.isEmpty, let state else { return false }
        return (try? state.outboxCount()) == 0
    }

    /// Waits until the mailbox has been received.
    package func waitUntilCaughtUp(timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "the mailbox to be received", timeout: timeout) { $0.isCaughtUp }
    }

    private func checkWaiters() {
        for (number, waiter) in waiters {
            let result: Result<Void, ClientError>
            if waiter.condition(self) {
                result = .success(())
            } else if let failure {
                result = .failure(failure)
            } else if state == nil {
                result = .failure(.stopped)
            } else {
                continue
            }
            waiters[number] = nil
            waiter.timer?.cancel()
            waiter.continuation.resume(returning: result)
        }
    }

    // MARK: From the stream

    fileprivate func received(_ message: WebSocketMessage) {
        lastHeard = .now()
        guard case .binary(let bytes) = message, let frame = try? Relay_V1_ServerFrame(serializedBytes: Array(bytes.readableBytesView)) else {
            channel?.close(code: 1007)
            return
        }
        frames.append(frame)
    }

    fileprivate func readComplete() {
        lastHeard = .now()
        if established, !frames.isEmpty { burst() }
    }

    fileprivate func closed(_ code: UInt16?, _ reason: String) {
        // What came before the end counts.
        if established, !frames.isEmpty { burst() }
        let end = StreamEnd(code: code, reason: reason)
        ended = end
        established = false
        ending?.resume(returning: end)
        ending = nil
    }

    // MARK: The burst

    /// What one transaction did, told and sent once it is on disk.
    private struct Effects {
        var events: [SessionEvent] = []
        var acknowledge: UInt64?
        var reads: [ChatID: UInt64] = [:]
        var pauseSending: Duration?
        var caughtUp = false
        var lookup: Lookup?
        var prepare: Preparation?
    }

    /// What must be asked of the relay before sealing can go on.
    private enum Preparation {
        case openChat(recipient: String)
        case refetch([ChatID])
    }

    /// Handles all that is at hand: frames, waiting envelopes, the outbox.
    private func burst() {
        guard established, failure == nil, let state else { return }
        let frames = frames
        self.frames = []
        var effects = Effects()
        do throws(ClientError) {
            try state.transaction {
                for frame in frames { try apply(frame, state, &effects) }
                try storeWaiting(state, &effects)
                try seal(state, &effects)
            }
        } catch {
            return fail(error)
        }
        if effects.caughtUp {
            caughtUpFlag = true
            effects.events.append(.caughtUp)
        }
        for event in effects.events { events(event) }
        if let seq = effects.acknowledge {
            var frame = Relay_V1_ClientFrame()
            frame.ack.mailboxSeq = seq
            write(frame)
        }
        for (chat, seq) in effects.reads { sendRead(chat, seq) }
        if let lookup = effects.lookup { look(lookup) }
        if let preparation = effects.prepare { prepare(preparation) }
        if let pause = effects.pauseSending { resumeSending(after: pause) }
        do throws(ClientError) { try pump(state) } catch { return fail(error) }
        channel?.flush()
        checkWaiters()
    }

    private func write(_ frame: Relay_V1_ClientFrame) {
        guard let channel, let bytes: [UInt8] = try? frame.serializedBytes() else { return }
        channel.send(.binary(ByteBuffer(bytes: bytes)))
    }

    private func sendRead(_ chat: ChatID, _ seq: UInt64) {
        var frame = Relay_V1_ClientFrame()
        frame.read.chatID = chat.rawValue
        frame.read.chatSeq = seq
        write(frame)
    }

    private func apply(_ frame: Relay_V1_ServerFrame, _ state: ClientState, _ effects: inout Effects) throws {
        switch frame.kind {
        case .sent(let sent): try apply(sent, request: frame.requestID, state, &effects)
        case .error(let error): try apply(error, request: frame.requestID, state, &effects)
        case .deliver(let deliver):
            waitingEnvelopes += deliver.envelopes
            guard waitingEnvelopes.count <= Limits.clientEnvelopesWaiting else {
                throw ClientError.protocolViolation("the relay pushes more envelopes than may be unacknowledged")
            }
        case .receipts(let receipts):
            for receipt in receipts.receipts {
                let (chat, user) = (ChatID(receipt.chatID), UserID(receipt.userID))
                try state.storeReceipt(chat: chat, user: user, delivered: receipt.deliveredSeq, read: receipt.readSeq, version: receipt.version)
                effects.events.append(.receipt(chat: chat, user: user, try state.watermarks(in: chat, of: user)))
            }
        case .caughtUp(let caughtUp): caughtUpAt = caughtUp.mailboxSeq
        case .pong, nil: break
        }
    }

    // MARK: Sending

    private func apply(_ sent: Relay_V1_Sent, request: UInt64, _ state: ClientState, _ effects: inout Effects) throws {
        requests[request] = nil
        guard let sealed = window.answered(sent.clientMessageID) else { return }
        let place = SentPlace(
            chat: ChatID(sent.chatID), clientMessageID: sent.clientMessageID, message: MessageID(sent.messageID), chatSeq: sent.chatSeq,
            sentAt: Timestamp(milliseconds: sent.sentAtMs))
        try state.storeSent(sealed.row, place, by: account)
        effects.events.append(.sent(id: sealed.row, place))
    }

    private func apply(_ error: Relay_V1_Error, request: UInt64, _ state: ClientState, _ effects: inout Effects) throws {
        // An answer to an acknowledgement or a read needs nothing done.
        guard let number = requests.removeValue(forKey: request) else { return }
        switch error.code {
        case "device_set_mismatch":
            if let chat = window.mustReseal(number) { staleChats.insert(chat) }
        case "client_message_id_used":
            _ = window.mustReseal(number)
            try state.setHighestClientMessageID(error.highestClientMessageID)
        case "overloaded", "restarting", "internal", "timeout":
            window.mustWait(number)
            effects.pauseSending = max(
                effects.pauseSending ?? .zero,
                error.retryAfterMs > 0 ? .milliseconds(Int64(error.retryAfterMs)) : Backoff.jitter(upTo: .seconds(1), using: &jitter))
        default:
            guard let sealed = window.answered(number) else { return }
            if error.code == "recipient_gone" || error.code == "chat_unknown" { try state.markGone(sealed.chat) }
            if let dead = try state.bury(sealed.row, code: error.code, reason: error.message) { effects.events.append(.dead(dead)) }
        }
    }

    /// Sends what is sealed, as far as the window allows.
    private func pump(_ state: ClientState) throws(ClientError) {
        for sealed in window.take() {
            let bytes = try state.transaction { try state.sealedBytes(sealed.row) }
            guard let bytes, let send = try? Relay_V1_Send(serializedBytes: bytes) else {
                throw .store("a sealed message of the outbox is damaged")
            }
            var frame = Relay_V1_ClientFrame()
            frame.requestID = nextRequest
            frame.send = send
            requests[nextRequest] = sealed.clientMessageID
            nextRequest += 1
            write(frame)
        }
    }

    private func resumeSending(after pause: Duration) {
        pumpAfter?.cancel()
        pumpAfter = loop.scheduleTask(in: TimeAmount(pause)) { [weak self] in
            self?.assumeIsolated { session in
                if session.window.resume() { session.burst() } else { session.resumeSending(after: .milliseconds(100)) }
            }
        }
    }

    /// Numbers and seals what the window has room for: first what was refused, then what was written next.
    private func seal(_ state: ClientState, _ effects: inout Effects) throws {
        guard !preparing else { return }
        var stale: [ChatID] = []
        for chat in window.resealable() {
            if staleChats.contains(chat) {
                stale.append(chat)
            } else {
                var again: [SendWindow.Sealed] = []
                for sealed in window.takeForResealing(chat) {
                    guard let entry = try state.outboxEntry(sealed.row) else { continue }
                    if let sealed = try seal(entry, chat, state, &effects) { again.append(sealed) }
                }
                window.add(again)
            }
        }
        if !stale.isEmpty {
            effects.prepare = .refetch(stale)
            return
        }
        guard window.room > 0 else { return }
        var sealed: [SendWindow.Sealed] = []
        for entry in try state.unsealed(limit: window.room) {
            guard let chat = try state.openChat(with: entry.recipient) else {
                effects.prepare = .openChat(recipient: entry.recipient)
                break
            }
            if let one = try seal(entry, chat, state, &effects) { sealed.append(one) }
        }
        window.add(sealed)
    }

    /// Gives one message its number and seals it for the devices of its chat. Nil when that cannot be: it is a dead letter then.
    private func seal(_ entry: OutboxEntry, _ chat: ChatID, _ state: ClientState, _ effects: inout Effects) throws -> SendWindow.Sealed? {
        func bury(_ code: String, _ reason: String) throws {
            if let dead = try state.bury(entry.id, code: code, reason: reason) { effects.events.append(.dead(dead)) }
        }
        if let (code, reason) = unsafeChats[chat] {
            try bury(code, reason)
            return nil
        }
        let recipients: [KnownDevice]
        if let known = knownRecipients[chat] {
            recipients = known
        } else {
            recipients = try state.recipients(in: chat)
            knownRecipients[chat] = recipients
        }
        var content = Relay_Client_V1_Content()
        content.text.text = entry.text
        content.writtenAtMs = entry.writtenAt.milliseconds
        let number = try state.highestClientMessageID() + 1
        let header = EnvelopeHeader(chat: chat, senderUser: account.user, senderDevice: account.device, clientMessageID: number)
        let envelope: SealedEnvelope
        do {
            envelope = try EnvelopeV1.seal(
                try content.serializedBytes(), header: header, sender: secrets,
                recipients: recipients.map { (user: $0.user, device: $0.id, agreementKey: $0.agreementKey) }, entropy: settings.entropy)
        } catch let error as CryptoError {
            try bury(error == .tooLarge ? "content_too_large" : "keys_invalid", error.description)
            return nil
        }
        guard envelope.body.count <= maxBodyBytes else {
            try bury("too_large", "the sealed message has \(envelope.body.count) bytes, this relay takes at most \(maxBodyBytes)")
            return nil
        }
        var send = Relay_V1_Send()
        send.chatID = chat.rawValue
        send.clientMessageID = number
        send.body = Data(envelope.body)
        for key in envelope.keys {
            if send.keys.last?.userID != key.user.rawValue {
                var member = Relay_V1_MemberKeys()
                member.userID = key.user.rawValue
                send.keys.append(member)
            }
            var wrapped = Relay_V1_WrappedKey()
            wrapped.deviceID = key.device.rawValue
            wrapped.key = Data(key.key)
            send.keys[send.keys.count - 1].devices.append(wrapped)
        }
        try state.storeSealed(entry.id, chat: chat, clientMessageID: number, try send.serializedBytes())
        return SendWindow.Sealed(row: entry.id, chat: chat, clientMessageID: number)
    }

    /// Asks the relay for what sealing needs, and goes on when the answer is stored.
    private func prepare(_ preparation: Preparation) {
        guard !preparing else { return }
        preparing = true
        let connection = connectionNumber
        Task {
            var retry: Duration?
            do throws(ClientError) {
                switch preparation {
                case .openChat(let recipient): try await openChat(with: recipient)
                case .refetch(let chats): for chat in chats { try await refetch(chat) }
                }
            } catch {
                switch error {
                case .store: fail(error)
                case .refused(let refusal):
                    if refusal.status == 401 { token = nil }
                    retry = refusal.retryAfter ?? .seconds(1)
                default: retry = .seconds(1)
                }
            }
            guard connection == connectionNumber else { return }
            if let retry {
                // Still marked as preparing, so that nothing is asked before its time.
                pumpAfter?.cancel()
                pumpAfter = loop.scheduleTask(in: TimeAmount(retry)) { [weak self] in
                    self?.assumeIsolated { session in
                        session.preparing = false
                        _ = session.window.resume()
                        session.burst()
                    }
                }
            } else {
                preparing = false
                burst()
            }
        }
    }

    private func openChat(with recipient: String) async throws(ClientError) {
        do throws(ClientError) {
            let user = try await api.user(named: recipient, token: try await currentToken())
            let chat = try await api.openChat(with: UserID(user.userID), token: try await currentToken())
            try store(chat)
            // The relay may know the user under a name that folds to the same; what waits is found by its own name.
            guard user.name == recipient else {
                throw .refused(Refusal(code: "user_unknown", message: "the relay knows no user \(recipient)", status: 404))
            }
        } catch {
            guard case .refused(let refusal) = error, !refusal.isTemporary, refusal.status != 401 else { throw error }
            try bury(try working().transaction { try working().unsealed(to: recipient) }, refusal)
        }
    }

    private func refetch(_ chat: ChatID) async throws(ClientError) {
        do throws(ClientError) {
            try store(try await api.chat(chat, token: try await currentToken()))
            staleChats.remove(chat)
        } catch {
            guard case .refused(let refusal) = error, !refusal.isTemporary, refusal.status != 401 else { throw error }
            let held = window.takeForResealing(chat)
            staleChats.remove(chat)
            try bury(held.map(\.row), refusal)
        }
    }

    private func bury(_ rows: [Int64], _ refusal: Refusal) throws(ClientError) {
        let state = try working()
        let dead = try state.transaction { try rows.compactMap { try state.bury($0, code: refusal.code, reason: refusal.message) } }
        for letter in dead { events(.dead(letter)) }
        checkWaiters()
    }

    /// Stores a chat with its members' active devices, each of which must vouch for its own keys.
    private func store(_ chat: Relay_V1_Chat) throws(ClientError) {
        let id = ChatID(chat.chatID)
        guard chat.chatID > 0 else { throw .protocolViolation("a chat without an identifier") }
        let state = try working()
        var trouble: (String, String)?
        try state.transaction {
            try state.storeChat(id, members: chat.members.map { UserID($0.userID) })
            for member in chat.members {
                if let found = try store(member, state) { trouble = found }
            }
        }
        unsafeChats[id] = trouble
        knownRecipients[id] = nil
    }

    /// Stores a device that is in no chat's list any more: its keys open what it sent before it was revoked.
    private func store(_ device: Relay_V1_Device) throws(ClientError) {
        let (identity, agreement) = (Array(device.keys.identityKey), Array(device.keys.agreementKey))
        guard device.deviceID > 0, device.userID > 0,
            Signing.verifyAgreement(identityKey: identity, agreementKey: agreement, signature: Array(device.keys.agreementSignature))
        else { return }
        let state = try working()
        try state.transaction {
            try state.storeFormer(
                KnownDevice(
                    id: DeviceID(device.deviceID), user: UserID(device.userID), name: device.name, identityKey: identity, agreementKey: agreement,
                    active: false))
        }
    }

    /// Gives what is wrong with the user's devices.
    private func store(_ user: Relay_V1_User, _ state: ClientState) throws -> (code: String, reason: String)? {
        var devices: [KnownDevice] = []
        var trouble: (String, String)?
        for device in user.devices {
            let (identity, agreement) = (Array(device.keys.identityKey), Array(device.keys.agreementKey))
            guard Signing.verifyAgreement(identityKey: identity, agreementKey: agreement, signature: Array(device.keys.agreementSignature)) else {
                trouble = ("keys_invalid", "a device of \(user.name) publishes keys that it did not sign")
                continue
            }
            devices.append(
                KnownDevice(
                    id: DeviceID(device.deviceID), user: UserID(user.userID), name: device.name, identityKey: identity, agreementKey: agreement,
                    active: true))
        }
        let changed = try state.store(user: UserID(user.userID), name: user.name, displayName: user.displayName, devices: devices)
        if !changed.isEmpty { trouble = ("key_changed", "a device of \(user.name) has another identity key than before") }
        return trouble
    }

    // MARK: Receiving

    /// Stores the envelopes whose senders are known, in order, up to the first one that must be looked up.
    private func storeWaiting(_ state: ClientState, _ effects: inout Effects) throws {
        var cursor = try state.cursor()
        var done = 0
        for envelope in waitingEnvelopes {
            if envelope.mailboxSeq <= cursor {
                done += 1
                continue
            }
            let (chat, sender) = (ChatID(envelope.chatID), DeviceID(envelope.senderDeviceID))
            let device = try state.device(sender)
            let lookup = Lookup(chat: chat, user: UserID(envelope.senderUserID), device: sender)
            if !lookedUp.contains(lookup), try device == nil || !state.knowsChat(chat) {
                effects.lookup = lookup
                break
            }
            try store(envelope, from: device, state, &effects)
            cursor = envelope.mailboxSeq
            effects.acknowledge = cursor
            done += 1
        }
        waitingEnvelopes.removeFirst(done)
        if waitingEnvelopes.isEmpty, let seq = caughtUpAt {
            caughtUpAt = nil
            try state.setCursor(seq)
            effects.caughtUp = true
        }
    }

    private func store(_ envelope: Relay_V1_Envelope, from device: KnownDevice?, _ state: ClientState, _ effects: inout Effects) throws {
        let place = SentPlace(
            chat: ChatID(envelope.chatID), clientMessageID: envelope.clientMessageID, message: MessageID(envelope.messageID),
            chatSeq: envelope.chatSeq,
            sentAt: Timestamp(milliseconds: envelope.sentAtMs))
        let own = envelope.senderDeviceID == account.device.rawValue
        if own, let sealed = window.answered(envelope.clientMessageID) {
            // The relay has it, whatever became of its answer.
            try state.storeSent(sealed.row, place, by: account)
            effects.events.append(.sent(id: sealed.row, place))
        }
        var entry = HistoryEntry(
            chat: place.chat, chatSeq: place.chatSeq, message: place.message, senderUser: UserID(envelope.senderUserID),
            senderDevice: DeviceID(envelope.senderDeviceID), clientMessageID: envelope.clientMessageID, sentAt: place.sentAt)
        switch open(envelope, from: device) {
        case .success(let content):
            entry.text = content.text.text
            entry.writtenAt = Timestamp(milliseconds: content.writtenAtMs)
        case .failure(let problem):
            entry.problem = problem.text
        }
        guard try state.storeReceived(entry, mailboxSeq: envelope.mailboxSeq) == .new, !own else { return }
        entry = try state.withNames(entry, account)
        effects.events.append(entry.problem == nil ? .received(entry) : .unreadable(entry))
        if settings.readsEverything, entry.problem == nil, entry.senderUser != account.user {
            try state.storeRead(entry.chat, entry.chatSeq)
            effects.reads[entry.chat] = max(effects.reads[entry.chat] ?? 0, entry.chatSeq)
        }
    }

    private struct Problem: Error {
        var text: String
    }

    private func open(_ envelope: Relay_V1_Envelope, from device: KnownDevice?) -> Result<Relay_Client_V1_Content, Problem> {
        guard !envelope.key.isEmpty else { return .failure(Problem(text: HistoryEntry.beforeEnrolment)) }
        guard let device else { return .failure(Problem(text: "the relay does not know the sender's device any more")) }
        guard device.user.rawValue == envelope.senderUserID else { return .failure(Problem(text: "the sender's device belongs to another user")) }
        let header = EnvelopeHeader(
            chat: ChatID(envelope.chatID), senderUser: UserID(envelope.senderUserID), senderDevice: DeviceID(envelope.senderDeviceID),
            clientMessageID: envelope.clientMessageID)
        let bytes: [UInt8]
        do {
            bytes = try EnvelopeV1.open(
                body: Array(envelope.body), wrappedKey: Array(envelope.key), header: header, device: secrets, senderIdentityKey: device.identityKey)
        } catch {
            return .failure(Problem(text: error.description))
        }
        guard let content = try? Relay_Client_V1_Content(serializedBytes: bytes) else { return .failure(Problem(text: "the content is malformed")) }
        guard case .text = content.kind else { return .failure(Problem(text: "this kind of content needs a newer client")) }
        return .success(content)
    }

    /// Fetches the chat and the sender of the first waiting envelope.
    private func look(_ lookup: Lookup) {
        guard !lookingUp else { return }
        lookingUp = true
        let connection = connectionNumber
        Task {
            var problem: ClientError?
            do throws(ClientError) {
                do throws(ClientError) {
                    try store(try await api.chat(lookup.chat, token: try await currentToken()))
                } catch { try ignoreRefusal(error) }
                if try working().transaction({ try working().device(lookup.device) }) == nil {
                    do throws(ClientError) {
                        try store(try await api.device(lookup.device, token: try await currentToken()))
                    } catch { try ignoreRefusal(error) }
                }
            } catch {
                problem = error
            }
            guard connection == connectionNumber else { return }
            lookingUp = false
            switch problem {
            case nil:
                if lookedUp.count >= Limits.clientEnvelopesWaiting { lookedUp = [] }
                lookedUp.insert(lookup)
                burst()
            case .store(let why): fail(.store(why))
            default:
                // Without the sender's keys nothing can be stored: begin again from the cursor, after a back-off.
                channel?.close(code: 1001)
            }
        }
    }

    /// What the relay does not know (any more) is a fact to go on with.
    private func ignoreRefusal(_ error: ClientError) throws(ClientError) {
        guard case .refused(let refusal) = error, !refusal.isTemporary, refusal.status != 401 else { throw error }
    }
}

/// Hands what the socket gives to the session, on the loop that both run on.
private final class StreamDelegate: WebSocketDelegate {
    private let session: Session

    init(_ session: Session) { self.session = session }

    func received(_ message: WebSocketMessage) { session.assumeIsolated { $0.received(message) } }
    func readComplete() { session.assumeIsolated { $0.readComplete() } }
    func closed(code: UInt16?, reason: String) { session.assumeIsolated { $0.closed(code, reason) } }
}
