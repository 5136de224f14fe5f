import NIOCore
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf

/// Where a device sits in a run: which chat, and whether it sends there.
struct BenchSeat: Sendable {
    let account: BenchAccount
    /// Which chat of the run.
    let chat: Int
    /// The relay's number of it; 0 until the group exists.
    var chatID: UInt64
    /// The devices that send in the chat, in an order that all its members share.
    let senders: [UInt64]
    /// What a sender puts behind each body; see ``BenchFrames/keys(_:_:)``.
    var keys: ByteBuffer
    /// How many others get what this device sends.
    let audience: Int
    /// How many messages this device sends at most.
    let limit: UInt64

    /// Looked up once: a receiver of a saturated run is asked after each read.
    let sends: Bool

    init(
        account: BenchAccount, chat: Int, chatID: UInt64 = 0, senders: [UInt64] = [], keys: ByteBuffer = ByteBuffer(), audience: Int = 0,
        limit: UInt64 = .max
    ) {
        self.account = account
        self.chat = chat
        self.chatID = chatID
        self.senders = senders
        self.keys = keys
        self.audience = audience
        self.limit = limit
        sends = senders.contains(account.device.rawValue)
    }
}

/// One device of a load: sends stamped messages, acknowledges what it gets, and notes both. Confined to its event loop.
final class BenchDevice: WebSocketDelegate {
    private(set) var seat: BenchSeat
    private(set) var history: BenchHistory
    /// The loop knows its devices until the run ends; a device may outlive that by the end of its connection.
    private let home: BenchLoop
    private var channel: WebSocketClientChannel?
    /// What was not answered on the last connection was repeated on this one.
    private var ready = false
    private var caughtUp: EventLoopPromise<Void>?
    private var group: EventLoopPromise<UInt64>?
    private var acknowledged: UInt64 = 0
    private var nextNumber: UInt64 = 1
    /// Sent and not answered, the oldest first: what a new connection must repeat.
    private var unanswered = CircularBuffer<(number: UInt64, due: UInt64)>(initialCapacity: 1)
    /// Due and not sent, because too much is under way.
    private var late = CircularBuffer<UInt64>(initialCapacity: 1)
    /// What counts for the window: unanswered, or in a group not yet everywhere.
    private var inFlight = 0
    /// Loops that still miss copies of a message, by number; only in a group.
    private var missing: [UInt64: Int] = [:]
    private var dirty = false

    init(_ seat: BenchSeat, home: BenchLoop) {
        self.seat = seat
        self.home = home
        history = BenchHistory(chat: seat.chat, device: seat.account.device.rawValue, senders: seat.senders)
    }

    /// The connection is open. `caughtUp` succeeds when its stream is live.
    func attach(_ channel: WebSocketClientChannel, caughtUp: EventLoopPromise<Void>) {
        self.channel = channel
        self.caughtUp = caughtUp
        acknowledged = history.newest
        // Not yet: the handshake's handlers are still in the way of what is written.
        home.loop.assumeIsolated().execute { self.begin() }
    }

    /// Repeats what was not answered, before anything new is sent.
    private func begin() {
        guard let channel else { return }
        ready = true
        for (number, due) in unanswered { write(number: number, due: due, channel) }
        refill()
        flush()
    }

    func close() { channel?.close(code: 1000) }

    // MARK: Presence

    private var takesPart = false

    /// Takes part in presence, and says that it is there when it does already.
    func beat(_ request: ByteBuffer) {
        guard let channel, ready else { return }
        if takesPart {
            channel.pong()
        } else {
            takesPart = true
            channel.send(.binary(request))
        }
        channel.flush()
    }

    // MARK: Sending

    /// A message is due. Sent at once, later, or not at all, as the loop's pace says.
    func send(due: UInt64) {
        guard late.isEmpty, hasRoom else {
            if late.count < home.pace.lateRoom { late.append(due) } else { home.tally.heldBack += 1 }
            return
        }
        issue(due)
    }

    /// Sends what was late, and at saturation fills the window. The caller flushes.
    func refill() {
        while hasRoom, let due = late.popFirst() { issue(due) }
        guard home.pace.saturates, seat.sends else { return }
        while hasRoom { issue(home.now()) }
    }

    /// What is late is given up.
    func dropLate() {
        home.tally.heldBack += late.count
        late = CircularBuffer(initialCapacity: 1)
    }

    func flush() {
        guard dirty else { return }
        dirty = false
        channel?.flush()
    }

    private var hasRoom: Bool {
        guard ready, let channel, home.pace.window > inFlight, nextNumber <= seat.limit else { return false }
        return channel.isWritable
    }

    private func issue(_ due: UInt64) {
        guard let channel else { return }
        let number = nextNumber
        nextNumber += 1
        inFlight += 1
        unanswered.append((number, due))
        home.tally.issued += 1
        if home.copies != nil { missing[number] = home.loopsWithCopies(seat) }
        write(number: number, due: due, channel)
    }

    private func write(number: UInt64, due: UInt64, _ channel: WebSocketClientChannel) {
        home.stamp(due: due, number: number)
        home.scratch.clear()
        BenchFrames.send(chat: seat.chatID, number: number, body: home.body, keys: seat.keys, into: &home.scratch)
        channel.send(.binary(home.scratch))
        dirty = true
    }

    /// Every copy of a message has reached those on one of the loops.
    func copiesArrived(_ number: UInt64) {
        guard let rest = missing[number] else { return }
        guard rest <= 1 else {
            missing[number] = rest - 1
            return
        }
        missing[number] = nil
        inFlight -= 1
        refill()
        flush()
    }

    /// Makes a group of this device's user and others; the result is its number.
    func makeGroup(with users: [UInt64], _ made: EventLoopPromise<UInt64>) {
        guard let channel else { return made.fail(ChannelError.ioOnClosedChannel) }
        var frame = Relay_V1_ClientFrame()
        frame.requestID = nextNumber
        frame.groupChange.clientMessageID = nextNumber
        frame.groupChange.action = .create
        frame.groupChange.userIds = users
        nextNumber += 1
        do {
            let bytes: [UInt8] = try frame.serializedBytes()
            group = made
            channel.send(.binary(ByteBuffer(bytes: bytes)))
            channel.flush()
        } catch {
            made.fail(error)
        }
    }

    /// From now on this device sends to `chat`.
    func join(_ chat: UInt64, keys: ByteBuffer) {
        seat.chatID = chat
        seat.keys = keys
    }

    // MARK: WebSocketDelegate

    func received(_ message: WebSocketMessage) {
        guard case .binary(let bytes) = message else { return home.broke("the relay sent text") }
        let now = home.now()
        let reply = BenchFrames.read(bytes) { envelope in
            guard history.deliver(envelope, bodyBytes: home.body.readableBytes) else { return }
            home.delivered(envelope, to: seat, at: now)
        }
        switch reply {
        case .sent(let number, let chat, let chatSeq, let messageID):
            if let group {
                self.group = nil
                history.changed(chatSeq: chatSeq)
                return group.succeed(chat)
            }
            answered(number)
            guard history.accept(number: number, chatSeq: chatSeq, messageID: messageID) else { return }
            home.tally.accepted += 1
            home.tally.expected += seat.audience
            if home.copies == nil { inFlight -= 1 }
        case .error(let request, let code, let message):
            home.tally.refusals[code, default: 0] += 1
            if let group {
                self.group = nil
                return group.fail(BenchRefusal(code: code, message: message))
            }
            // An overloaded relay ends the connection; the next one repeats the message.
            guard request != 0, ErrorCode(rawValue: code)?.closeCode == nil else { return }
            answered(request)
            missing[request] = nil
            inFlight -= 1
        case .caughtUp:
            caughtUp?.succeed()
            caughtUp = nil
        case .keyChange:
            home.tally.keyChanges += 1
            home.tally.lastKeyChange = now
        case .presence(let users, let isSnapshot):
            if isSnapshot { home.tally.snapshots += 1 } else { home.tally.told += users }
        case .delivered, .presenceTerms, .other: break
        case nil:
            home.broke("the relay sent a frame that cannot be read")
            channel?.close(code: 1007)
        }
    }

    private func answered(_ number: UInt64) {
        if unanswered.first?.number == number {
            unanswered.removeFirst()
        } else if let index = unanswered.firstIndex(where: { $0.number == number }) {
            unanswered.remove(at: index)
        }
        home.tally.answered += 1
    }

    func readComplete() {
        guard let channel else { return }
        if history.newest > acknowledged {
            acknowledged = history.newest
            home.scratch.clear()
            BenchFrames.acknowledgement(acknowledged, into: &home.scratch)
            channel.send(.binary(home.scratch))
            dirty = true
        }
        refill()
        flush()
    }

    func closed(code: UInt16?, reason: String) {
        channel = nil
        ready = false
        caughtUp?.fail(ChannelError.eof)
        caughtUp = nil
        group?.fail(ChannelError.eof)
        group = nil
        home.closed(self, code, reason)
    }
}

/// The relay refused something that the bench cannot do without.
struct BenchRefusal: Error, CustomStringConvertible {
    var code: String
    var message: String
    var description: String { "\(message) (\(code))" }
}
