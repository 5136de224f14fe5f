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
    private var open = true

    private var outgoing: [StoredEnvelope] = []
    private var outgoingReceipts: [ReceiptRow] = []
    private var caughtUp: UInt64?

    private var sendsInFlight = 0
    private var readingPaused = false

    /// Acknowledged by the device but not yet on its way to the store.
    private var delivered: [ChatPosition] = []
    private var storedCursor: UInt64 = 0
    private var acknowledging = false

    private enum ReceiptSync {
        /// Pages of older receipts are being read; a live one that came meanwhile is read again with them.
        case reading(missedLive: Bool)
        case live
    }
    private var receiptSync = ReceiptSync.reading(missedLive: false)

    init(_ principal: Principal, connection: UInt64, hub: LoopHub, sink: any DeviceSink) {
        self.principal = principal
        self.connection = connection
        self.hub = hub
        self.sink = sink
        state = StreamState(user: principal.user, device: principal.device)
    }

    // MARK: From the gateway

    /// Queues a message; the answer comes through the sink.
    package func send(request: UInt64, chat: ChatID, clientMessageID: UInt64, body: ByteBuffer, keys: [MemberKeys]) {
        let command = Command.send(
            Send(user: principal.user, device: principal.device, chat: chat, clientMessageID: clientMessageID, body: body, keys: keys))
        submit(command, request)
    }

    /// Moves the user's read watermark.
    package func read(request: UInt64, chat: ChatID, chatSeq: UInt64) { submit(.read(principal.user, chat, chatSeq: chatSeq), request) }

    private func submit(_ command: Command, _ request: UInt64) {
        guard open else { return }
        do throws(WriterError) {
            try hub.submit(command, connection, request)
            sendsInFlight += 1
            if sendsInFlight >= Limits.sendsInFlight, !readingPaused {
                readingPaused = true
                sink.pauseReading(true)
            }
        } catch {
            switch error {
            case .overloaded:
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
        guard let actions = state.acknowledge(mailboxSeq, writable: sink.isWritable, delivered: &delivered) else {
            return sink.answer(0, .rejected(.positionUnknown))
        }
        perform(actions)
        storeCursor()
    }

    /// The socket can take more.
    package func becameWritable() {
        guard open else { return }
        perform(state.resume(writable: true))
        flush()
    }

    /// The connection is gone, or about to be.
    package func closed() {
        guard open else { return }
        open = false
        storeCursor(always: true)
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
            stream.perform(stream.state.begin(at: max(cursor, place.cursor), writable: stream.sink.isWritable))
            stream.flush()
        }
        readReceipts(after: version)
    }

    func answer(_ request: UInt64, _ answer: SendAnswer) {
        sendsInFlight -= 1
        if request != 0 { sink.answer(request, answer) }
        if readingPaused, sendsInFlight <= Limits.sendsInFlight / 2 {
            readingPaused = false
            sink.pauseReading(false)
        }
    }

    func committed(_ envelope: StoredEnvelope) {
        perform(state.committed(envelope, writable: sink.isWritable))
        // A device that only sends passes its own messages over: now and then its cursor must follow.
        if state.cursor > storedCursor + Limits.ownMessagesBehindCursor { storeCursor() }
    }

    func receipt(_ row: ReceiptRow) {
        switch receiptSync {
        case .live: outgoingReceipts.append(row)
        case .reading: receiptSync = .reading(missedLive: true)
        }
    }

    /// The cursor of the last acknowledgement is on disk.
    func acknowledged() {
        acknowledging = false
        storeCursor()
    }

    func close(_ reason: StreamEnd) {
        guard open else { return }
        closed()
        sink.close(reason)
    }

    /// Sends what has gathered, in bounded frames, and flushes the socket once.
    func flush() {
        guard open else { return }
        var bytes = 0
        var frame: [StoredEnvelope] = []
        for envelope in outgoing {
            frame.append(envelope)
            bytes += envelope.body.readableBytes
            if bytes >= Limits.drainPageBytes || frame.count == Limits.drainPageEnvelopes {
                sink.push(frame)
                frame = []
                bytes = 0
            }
        }
        if !frame.isEmpty { sink.push(frame) }
        hub.delivered(outgoing.count)
        outgoing.removeAll(keepingCapacity: false)
        if !outgoingReceipts.isEmpty {
            sink.push(outgoingReceipts)
            outgoingReceipts = []
        }
        if let seq = caughtUp, case .live = receiptSync {
            sink.caughtUp(seq)
            caughtUp = nil
        }
        sink.flush()
    }

    // MARK: Steps

    private func perform(_ actions: consuming StreamState.Actions) {
        outgoing += actions.push
        if let seq = actions.caughtUp { caughtUp = seq }
        guard let (after, limit) = actions.read else { return }
        hub.readMailbox(of: principal.user, after: after, limit: limit, for: connection) { stream, page in
            guard stream.open else { return }
            stream.perform(stream.state.page(page.envelopes, complete: page.complete, writable: stream.sink.isWritable))
            stream.flush()
        }
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

    /// One acknowledgement of a device is on its way to the store at a time; those that come meanwhile are one when it returns.
    private func storeCursor(always: Bool = false) {
        guard state.cursor > storedCursor || !delivered.isEmpty, !acknowledging || always else { return }
        let command = Command.acknowledge(
            Acknowledge(user: principal.user, device: principal.device, mailboxSeq: state.cursor, delivered: delivered))
        // When the writer is too busy the next acknowledgement tries again; until then the device would only be sent again what it has.
        guard (try? hub.submit(command, connection, nil)) != nil else { return }
        acknowledging = true
        storedCursor = state.cursor
        delivered = []
    }
}
