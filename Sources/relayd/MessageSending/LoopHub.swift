import NIOCore
import RelayDirectory
import RelayMetrics
import RelayModel
import RelayStorage
import Synchronization

/// The streams of one event loop. Confined to that loop, hence unchecked.
final class LoopHub: @unchecked Sendable {
    private let index: Int
    private let loop: any EventLoop
    private let writer: Writer
    private let readers: ReaderPool
    private let online: OnlineTable
    private let counters: SendingCounters
    private let metrics: Metrics
    private let pushMembers: Int
    private unowned let receiver: MessageSending

    private var streams: [UInt64: DeviceStream] = [:]
    /// Nearly every user has one device on a loop.
    private var byUser: [UserID: Streams] = [:]

    private enum Streams {
        case one(DeviceStream)
        case several([DeviceStream])
    }

    /// Streams that wait to be flushed; each is in one queue at most.
    enum Flushing { case none, now, inTurn }
    private var now: [DeviceStream] = []
    /// Copies of large groups' messages: flushed a slice at a time, so that others do not wait for them.
    private var inTurn = CircularBuffer<DeviceStream>()
    private var turnScheduled = false

    private var gathering: [DeviceStream] = []
    /// Of connections that are gone.
    private var left: [Acknowledge] = []
    private var gatherScheduled = false
    private var gathered = NIODeadline.distantPast

    init(
        index: Int, loop: any EventLoop, writer: Writer, readers: ReaderPool, online: OnlineTable, counters: SendingCounters, metrics: Metrics,
        pushMembers: Int, receiver: MessageSending
    ) {
        self.index = index
        self.loop = loop
        self.writer = writer
        self.readers = readers
        self.online = online
        self.counters = counters
        self.metrics = metrics
        self.pushMembers = pushMembers
        self.receiver = receiver
    }

    // MARK: Streams

    func add(_ stream: DeviceStream) {
        streams[stream.connection] = stream
        switch byUser[stream.principal.user] {
        case nil: byUser[stream.principal.user] = .one(stream)
        case .one(let other): byUser[stream.principal.user] = .several([other, stream])
        case .several(let others): byUser[stream.principal.user] = .several(others + [stream])
        }
    }

    func remove(_ stream: DeviceStream) {
        guard streams.removeValue(forKey: stream.connection) != nil else { return }
        var othersHere = false
        switch byUser[stream.principal.user] {
        case .several(let all):
            let others = all.filter { $0 !== stream }
            byUser[stream.principal.user] = others.count == 1 ? .one(others[0]) : .several(others)
            othersHere = true
        case .one, nil: byUser[stream.principal.user] = nil
        }
        online.remove(stream.principal, loop: othersHere ? nil : index, connection: stream.connection)
        if let acknowledgement = stream.takeAcknowledgement() {
            left.append(acknowledgement)
            scheduleGathering()
        }
    }

    var principals: [Principal] { streams.values.map(\.principal) }

    func close(_ connection: UInt64, _ reason: StreamEnd) { streams[connection]?.close(reason) }

    func closeAll(_ reason: StreamEnd) {
        for stream in Array(streams.values) { stream.close(reason) }
    }

    private func each(of user: UserID, _ body: (DeviceStream) -> Void) {
        switch byUser[user] {
        case nil: break
        case .one(let stream): body(stream)
        case .several(let streams): for stream in streams { body(stream) }
        }
    }

    // MARK: What a batch brings

    /// One thing that a committed batch means for this loop.
    enum Event: Sendable {
        case answer(connection: UInt64, request: UInt64, SendAnswer)
        case retry(connection: UInt64, request: UInt64, Retry)
        case envelope(UserID, StoredEnvelope)
        /// For every member; the hub finds those that are here.
        case publication(Publication)
        case receipt(UserID, ReceiptRow)
        case contact(UserID, ContactRow)
        /// For its whole audience; the hub finds those that are here.
        case keyChange(KeyChange)
    }

    /// All events of a batch in one hop; every touched stream is flushed once, those of large groups in their turn.
    /// - Parameter since: when the first command of the batch came.
    func handle(_ events: [Event], since: Int64) {
        var answers = false
        for event in events {
            switch event {
            case .answer(let connection, let request, let answer):
                guard let stream = streams[connection] else { continue }
                stream.answer(request, answer)
                if case .sent = answer { answers = true }
                flushNow(stream)
            case .retry(let connection, let request, let retry): streams[connection]?.look(for: retry, request)
            case .envelope(let user, let envelope):
                each(of: user) { if $0.committed(envelope) { flushNow($0) } }
            case .publication(let publication): publish(publication)
            case .receipt(let user, let row):
                each(of: user) {
                    $0.receipt(row)
                    flushNow($0)
                }
            case .contact(let user, let row):
                each(of: user) {
                    $0.contact(row)
                    flushNow($0)
                }
            case .keyChange(let change):
                // Up to 5,000 devices: in their turn.
                for user in change.audience {
                    each(of: user) {
                        guard change.tellsDevice || $0.principal.device != change.bundle.device else { return }
                        $0.keyChange(change)
                        flushInTurn($0)
                    }
                }
            }
        }
        flushQueues()
        if answers { metrics.sendSeconds.record(nanoseconds: metrics.clock.nanoseconds() - since) }
    }

    private func publish(_ publication: Publication) {
        var keys = publication.keys[...]
        let announces = publication.audience.count > pushMembers
        var envelope = publication.envelope
        for user in publication.audience {
            // Both are in the order of the users.
            var own = PackedKeys()
            if let first = keys.first, first.user == user {
                own = first.keys
                keys = keys.dropFirst()
            }
            guard byUser[user] != nil else { continue }
            envelope.keys = own
            each(of: user) { stream in
                if announces {
                    guard stream.principal.device != envelope.senderDevice else { return }
                    stream.announce(ChatPosition(chat: envelope.chat, seq: envelope.chatSeq))
                    flushInTurn(stream)
                } else if stream.committed(envelope) {
                    flushInTurn(stream)
                }
            }
        }
    }

    // MARK: Flushing

    private func flushNow(_ stream: DeviceStream) {
        guard stream.flushing != .now else { return }
        // One that waits for its turn as well is flushed whole now, and passed over then.
        stream.flushing = .now
        now.append(stream)
    }

    private func flushInTurn(_ stream: DeviceStream) {
        guard stream.flushing == .none else { return }
        stream.flushing = .inTurn
        inTurn.append(stream)
    }

    private func flushQueues() {
        let urgent = now
        now.removeAll(keepingCapacity: urgent.count <= 64)
        for stream in urgent {
            stream.flushing = .none
            stream.flush()
        }
        flushTurn()
    }

    private func flushTurn() {
        var flushed = 0
        while flushed < Limits.fanOutSlice, let stream = inTurn.popFirst() {
            guard stream.flushing == .inTurn else { continue }
            stream.flushing = .none
            stream.flush()
            flushed += 1
        }
        if inTurn.isEmpty {
            if inTurn.capacity > 1024 { inTurn = CircularBuffer() }
            return
        }
        guard !turnScheduled else { return }
        turnScheduled = true
        // Behind what the sockets have brought meanwhile.
        loop.execute {
            self.turnScheduled = false
            self.flushTurn()
        }
    }

    // MARK: Acknowledgements

    /// Lists a stream whose cursor moved. What all of them acknowledged goes to the writer together, with the next send or a moment later.
    func gather(_ stream: DeviceStream) {
        gathering.append(stream)
        scheduleGathering()
    }

    private func scheduleGathering() {
        guard !gatherScheduled else { return }
        gatherScheduled = true
        // Weakly: the relay may be gone by then, and the writer with it.
        loop.assumeIsolated().scheduleTask(in: TimeAmount(Limits.acknowledgementDelay)) { [weak self] in
            guard let self else { return }
            gatherScheduled = false
            storeAcknowledgements()
        }
    }

    /// Lets what was acknowledged ride with a send that is about to be queued: under light load a commit of its own would cost as much again.
    private func letAcknowledgementsRide() {
        guard !gathering.isEmpty || !left.isEmpty else { return }
        let now = NIODeadline.now()
        guard now - gathered >= TimeAmount(Limits.acknowledgementInterval) else { return }
        gathered = now
        storeAcknowledgements(riding: true)
    }

    /// Hands everything that was acknowledged to the writer.
    func storeAcknowledgements(riding: Bool = false) {
        var entries = left
        left = []
        let streams = gathering
        gathering = []
        for stream in streams { if let entry = stream.takeAcknowledgement() { entries.append(entry) } }
        var rest = entries[...]
        while !rest.isEmpty {
            let some = Array(rest.prefix(Limits.acknowledgementsAtOnce))
            do throws(WriterError) {
                try writer.submit(.acknowledge(some), reply: .batch(receiver, nil), riding: riding)
            } catch {
                // When the writer has too much to do, the next gathering tries again; until then a device would only be sent again what it has.
                // At its end, nothing can be stored any more.
                guard error == .overloaded else { return }
                left = Array(rest)
                return scheduleGathering()
            }
            rest = rest.dropFirst(some.count)
        }
    }

    // MARK: What streams need

    /// - Returns: whether the connection should hold back.
    func submit(_ command: Command, _ connection: UInt64, _ request: UInt64) throws(WriterError) -> Bool {
        letAcknowledgementsRide()
        return try writer.submit(command, reply: .batch(receiver, Origin(loop: index, connection: connection, request: request)))
    }

    func raise(_ event: AlertEvent) { receiver.raise(event) }

    func refusedOverloaded(_ command: Command) { if command.isSending { metrics.sends.add(.overloaded) } }

    func delivered(_ count: Int) {
        counters.envelopesDelivered.add(count, ordering: .relaxed)
        metrics.deliveries.add(count)
    }

    /// Looks up where a device is, and up to where its mailbox can reach.
    func readPlace(
        of principal: Principal, for connection: UInt64, then: @escaping @Sendable (DeviceStream, (cursor: UInt64, end: UInt64)) -> Void
    ) {
        let end = writer.horizon.rawValue
        read(for: connection, then: then) { reader in (try reader.cursor(of: principal.device), end) }
    }

    /// Reads a page off the loop and comes back to the stream, if it is still there.
    func readMailbox(
        of user: UserID, after: UInt64, limit: Int, for connection: UInt64, then: @escaping @Sendable (DeviceStream, MailboxPage) -> Void
    ) {
        let pushMembers = pushMembers
        read(for: connection, then: then) {
            try $0.mailbox(of: user, after: after, limit: limit, bytes: Limits.drainPageBytes, pushMembers: pushMembers)
        }
    }

    func readReceipts(
        for user: UserID, after version: UInt64, _ connection: UInt64,
        then: @escaping @Sendable (DeviceStream, (rows: [ReceiptRow], more: Bool)) -> Void
    ) {
        read(for: connection, then: then) { try $0.receipts(for: user, after: version, limit: Limits.receiptPageRows) }
    }

    /// One step back.
    func readFirstAnswer(to retry: Retry, _ connection: UInt64, then: @escaping @Sendable (DeviceStream, FirstAnswer) -> Void) {
        read(for: connection, then: then) { try $0.firstAnswer(to: retry) }
    }

    private func read<Page: Sendable>(
        for connection: UInt64, then: @escaping @Sendable (DeviceStream, Page) -> Void, _ body: @escaping @Sendable (Reader) throws -> Page
    ) {
        readers.read(body) { result in
            self.loop.execute {
                guard let stream = self.streams[connection] else { return }
                switch result {
                case .success(let page): then(stream, page)
                case .failure: stream.close(.storeFailed)
                }
            }
        }
    }
}
