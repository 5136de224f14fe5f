import NIOCore
import RelayDirectory
import RelayModel
import RelayStorage

/// One device's live connection: what it asks goes to the writer, what is committed comes back, the rest is read from its mailbox.
/// Confined to its event loop.
package final class DeviceStream {
    let principal: Principal
    let connection: UInt64
    private let hub: LoopHub
    private let sink: any DeviceSink
    private var state: StreamState

    // What is small lies together: there are as many of these as connections.
    private var open = true
    /// It ends when nothing of it waits for the disk any more.
    private var draining = false
    private var readingPaused = false
    /// Listed with the hub for the next gathering.
    var acknowledging = false
    /// In which of the hub's queues this stream waits to be flushed.
    var flushing = LoopHub.Flushing.none
    private var receiptSync = ReceiptSync.reading(missedLive: false)
    private var sendsInFlight: Int32 = 0
    /// A paused socket is read again when so few sends wait for the disk.
    private var resumesAt: Int32 = 0
    /// Own messages that the cursor passed over since it was stored.
    private var ownPassed: Int32 = 0

    /// What waits for the next flush.
    private var outgoing: [StoredEnvelope] = []
    private var outgoingReceipts: [ReceiptRow] = []
    private var outgoingContacts: [ContactRow] = []
    private var outgoingKeys: [KeyChange] = []
    private var announced: [ChatPosition] = []
    private var caughtUp: UInt64?

    /// Sends in flight whose first answer lies far back; the first one is being looked for. One step of one of them at a time, so that nobody
    /// keeps the readers from others.
    private var retries: [(request: UInt64, retry: Retry)] = []

    /// Acknowledged by the device but not yet on its way to the store.
    private var delivered: [ChatPosition] = []
    private var storedCursor: UInt64 = 0
    private var contactsVersion: UInt64 = 0

    private enum ReceiptSync {
        /// Pages of older receipts are being read; a live one that came meanwhile is read again with them.
        case reading(missedLive: Bool)
        case live
    }

    init(_ principal: Principal, connection: UInt64, hub: LoopHub, sink: any DeviceSink) {
        self.principal = principal
        self.connection = connection
        self.hub = hub
        self.sink = sink
        state = StreamState(user: principal.user, device: principal.device)
    }

    // MARK: From the gateway

    /// Queues a message; the answer comes through the sink.
    /// - Parameter keys: in the order of the users' identifiers.
    package func send(request: UInt64, chat: ChatID, clientMessageID: UInt64, body: ByteBuffer, keys: [MemberKeys]) {
        let command = Command.send(
            Send(user: principal.user, device: principal.device, chat: chat, clientMessageID: clientMessageID, body: body, keys: keys))
        submit(command, request)
    }

    /// Queues a change of a group; the answer comes through the sink.
    /// - Parameters:
    ///   - chat: nil to create one.
    ///   - users, keys: in the order of the users' identifiers.
    package func changeGroup(
        request: UInt64, chat: ChatID?, clientMessageID: UInt64, action: GroupAction, users: [UserID], role: GroupRole?, body: ByteBuffer,
        keys: [MemberKeys]
    ) {
        let command = Command.changeGroup(
            ChangeGroup(
                user: principal.user, device: principal.device, chat: chat, clientMessageID: clientMessageID, action: action, users: users,
                role: role,
                body: body, keys: keys))
        submit(command, request)
    }

    /// Queues a deletion; the answer comes through the sink.
    /// - Parameter seqs: rising.
    package func delete(request: UInt64, chat: ChatID, clientMessageID: UInt64, seqs: [UInt64], forEveryone: Bool) {
        let command = Command.delete(
            Delete(
                user: principal.user, device: principal.device, chat: chat, clientMessageID: clientMessageID, seqs: seqs, forEveryone: forEveryone))
        submit(command, request)
    }

    /// Moves the user's read watermark.
    package func read(request: UInt64, chat: ChatID, chatSeq: UInt64) { submit(.read(principal.user, chat, chatSeq: chatSeq), request) }

    /// The device says that it has stored all changes of contacts up to this version.
    package func contactsSeen(_ version: UInt64) { contactsVersion = max(contactsVersion, version) }

    private func submit(_ command: Command, _ request: UInt64) {
        guard open, !draining else { return }
        do throws(WriterError) {
            let crowded = try hub.submit(command, connection, request)
            sendsInFlight += 1
            if crowded || sendsInFlight >= Limits.sendsInFlight, !readingPaused {
                readingPaused = true
                // While everybody floods, everybody gets an equal share: one round after the other.
                resumesAt = crowded ? 0 : Int32(Limits.sendsInFlight / 2)
                sink.pauseReading(true)
            }
        } catch {
            switch error {
            case .overloaded:
                hub.refusedOverloaded(command)
                sink.answer(request, .overloaded)
                close(.overloaded)
            case .stopping: close(.restarting)
            case .storeFailed: close(.storeFailed)
            }
        }
    }

    /// The device has everything up to `mailboxSeq`.
    package func acknowledge(_ mailboxSeq: UInt64) {
        guard open else { return }
        guard state.acknowledge(mailboxSeq, delivered: &delivered) else { return sink.answer(0, .rejected(.positionUnknown)) }
        read(state.resume(writable: sink.isWritable))
        gather()
    }

    /// The socket can take more.
    package func becameWritable() {
        guard open else { return }
        read(state.resume(writable: true))
        flush()
    }

    /// The relay stops: nothing more is taken, and the connection ends with `restarting` once everything it asked is answered. What waits to be
    /// delivered stays in the mailbox.
    package func drain() {
        guard open, !draining else { return }
        draining = true
        if sendsInFlight == 0 { close(.restarting) }
    }

    /// The connection is gone, or about to be.
    package func closed() {
        guard open else { return }
        open = false
        hub.remove(self)
    }

    // MARK: From the hub

    /// - Parameters:
    ///   - cursor: what the device says it has; what it acknowledged before counts when that is more.
    ///   - version: the device has all receipts up to this one.
    func start(cursor: UInt64, receiptsAfter version: UInt64) {
        hub.readPlace(of: principal, for: connection) { stream, place in
            guard stream.open else { return }
            // A device ahead of its mailbox would miss everything up to where it claims to be.
            guard cursor <= place.end else { return stream.close(.cursorAhead) }
            stream.storedCursor = place.cursor
            stream.read(stream.state.begin(at: max(cursor, place.cursor), writable: stream.sink.isWritable), announcing: true)
            stream.flush()
        }
        readReceipts(after: version)
    }

    func answer(_ request: UInt64, _ answer: SendAnswer) {
        sendsInFlight -= 1
        switch answer {
        // Its own copy of the contacts should have stopped it.
        case .rejected(.notContact(let state, let version)) where state.isBlocked && version <= contactsVersion:
            hub.raise(AlertEvent(.blockedSender, about: .user(principal.user)))
        case .rejected(.clientMessageIDUsed): hub.raise(AlertEvent(.outOfOrder, about: .device(principal.device)))
        default: break
        }
        if request != 0 { sink.answer(request, answer) }
        if draining, sendsInFlight == 0 { return close(.restarting) }
        if readingPaused, sendsInFlight <= resumesAt {
            readingPaused = false
            sink.pauseReading(false)
        }
    }

    func look(for retry: Retry, _ request: UInt64) {
        retries.append((request, retry))
        if retries.count == 1 { lookFurther() }
    }

    private func lookFurther() {
        guard let (request, retry) = retries.first else { return }
        hub.readFirstAnswer(to: retry, connection) { stream, found in
            guard stream.open else { return }
            switch found {
            case .further(let before): stream.retries[0].retry.before = before
            case .sent(let sent, _):
                stream.retries.removeFirst()
                stream.answer(request, .sent(sent))
            case .none:
                stream.retries.removeFirst()
                stream.answer(request, .rejected(.clientMessageIDUsed(highest: retry.highest)))
            }
            stream.lookFurther()
            stream.flush()
        }
    }

    /// True when there is something to flush.
    func committed(_ envelope: StoredEnvelope) -> Bool {
        switch state.committed(envelope, writable: sink.isWritable) {
        case .push:
            outgoing.append(envelope)
            return true
        case .pass:
            // A device that only sends passes its own messages over: now and then its cursor must follow.
            if envelope.senderDevice == principal.device {
                ownPassed += 1
                if ownPassed >= Limits.ownMessagesBehindCursor { gather() }
            }
            return false
        case .read(let page):
            read(page)
            return false
        }
    }

    func receipt(_ row: ReceiptRow) {
        switch receiptSync {
        case .live: outgoingReceipts.append(row)
        case .reading: receiptSync = .reading(missedLive: true)
        }
    }

    func contact(_ row: ContactRow) { outgoingContacts.append(row) }

    func keyChange(_ change: KeyChange) { outgoingKeys.append(change) }

    /// There is something new in a chat that is fetched, not pushed. Of several only the newest is told.
    func announce(_ position: ChatPosition) {
        if let index = announced.firstIndex(where: { $0.chat == position.chat }) {
            announced[index] = position
        } else {
            announced.append(position)
        }
    }

    func close(_ reason: StreamEnd) {
        guard open else { return }
        closed()
        sink.close(reason)
    }

    /// What is acknowledged and not yet on its way to the store; nil when there is nothing.
    func takeAcknowledgement() -> Acknowledge? {
        acknowledging = false
        guard state.cursor > storedCursor || !delivered.isEmpty else { return nil }
        defer {
            storedCursor = state.cursor
            ownPassed = 0
            delivered = []
        }
        return Acknowledge(user: principal.user, device: principal.device, mailboxSeq: state.cursor, delivered: delivered)
    }

    /// Sends what has gathered, in bounded frames, and flushes the socket once.
    func flush() {
        guard open else { return }
        // Before the envelopes: whoever acknowledges those and is gone would not be told of these again.
        if !announced.isEmpty {
            sink.announce(announced)
            announced = []
        }
        if !outgoing.isEmpty {
            var bytes = 0
            var start = 0
            for index in outgoing.indices {
                bytes += outgoing[index].body.readableBytes
                if bytes >= Limits.drainPageBytes || index + 1 - start == Limits.drainPageEnvelopes {
                    sink.push(outgoing[start...index])
                    start = index + 1
                    bytes = 0
                }
            }
            if start < outgoing.count { sink.push(outgoing[start...]) }
            hub.delivered(outgoing.count)
            outgoing = []
        }
        if !outgoingReceipts.isEmpty {
            sink.push(outgoingReceipts)
            outgoingReceipts = []
        }
        if !outgoingContacts.isEmpty {
            sink.push(outgoingContacts)
            outgoingContacts = []
        }
        if !outgoingKeys.isEmpty {
            for change in outgoingKeys { sink.push(change) }
            outgoingKeys = []
        }
        if let seq = caughtUp, case .live = receiptSync {
            sink.caughtUp(seq)
            caughtUp = nil
        }
        sink.flush()
    }

    // MARK: Steps

    private func read(_ page: StreamState.Read?, announcing: Bool = false) {
        guard let page else { return }
        hub.readMailbox(of: principal.user, after: page.after, limit: page.limit, for: connection) { stream, page in
            guard stream.open else { return }
            if announcing { for position in page.announced { stream.announce(position) } }
            stream.take(stream.state.page(page.envelopes, complete: page.complete, writable: stream.sink.isWritable))
            stream.flush()
        }
    }

    private func take(_ actions: consuming StreamState.PageActions) {
        if outgoing.isEmpty { outgoing = actions.push } else { outgoing += actions.push }
        if let seq = actions.caughtUp { caughtUp = seq }
        read(actions.read)
    }

    private func readReceipts(after version: UInt64) {
        hub.readReceipts(for: principal.user, after: version, connection) { stream, page in
            guard stream.open else { return }
            stream.outgoingReceipts += page.rows
            let next = page.rows.last?.version ?? version
            if page.more {
                stream.readReceipts(after: next)
            } else if case .reading(missedLive: true) = stream.receiptSync {
                stream.receiptSync = .reading(missedLive: false)
                stream.readReceipts(after: next)
            } else {
                stream.receiptSync = .live
            }
            stream.flush()
        }
    }

    private func gather() {
        guard !acknowledging, state.cursor > storedCursor || !delivered.isEmpty else { return }
        acknowledging = true
        hub.gather(self)
    }
}
