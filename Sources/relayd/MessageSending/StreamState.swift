import NIOCore
import RelayModel
import RelayStorage

/// Where one device is in its user's mailbox: draining pages from the store until it has caught up, then live.
///
/// A pure state machine: events in, actions out; it knows neither sockets nor the store. Confined to the connection's event loop.
///
/// - Every envelope of the mailbox is pushed once, in order, except those that this device sent itself.
/// - At most ``Limits/unacknowledgedEnvelopes`` are pushed and not acknowledged.
/// - A device that is slow, or whose socket is full, falls back to draining; nothing is kept in memory for it.
///
/// Positions in the mailbox rise, with gaps between them: they are message ids.
struct StreamState: ~Copyable {
    /// What is known of an envelope that was passed and is not acknowledged.
    private struct Passed {
        var mailboxSeq: UInt64
        var chat: ChatID
        var chatSeq: UInt64
        /// Sent by this device: never pushed, so never acknowledged by it.
        var own: Bool
        /// Somebody else's, so that its delivery is worth a receipt. That something has expired is nobody's message.
        var countsAsDelivery: Bool
    }

    private enum Phase: Equatable {
        /// Where the device is, is being looked up.
        case starting
        /// `reading`: a page is on its way.
        case draining(reading: Bool)
        case live
    }

    // Ordered so that what is small lies together: there are as many of these as connections.
    private let user: UserID
    private let device: DeviceID
    private var phase = Phase.starting
    private var saidCaughtUp = false
    private var pushedInWindow: Int32 = 0
    /// Nil while nothing is unacknowledged: an idle connection keeps no buffer.
    private var window: CircularBuffer<Passed>?
    /// Everything up to here is safe on the device.
    private(set) var cursor: UInt64 = 0
    /// Everything up to here was pushed or passed over.
    private(set) var position: UInt64 = 0
    /// The mailbox reaches at least to here.
    private var end: UInt64 = 0
    /// It did when the page was asked for that is being read: whatever was there up to here is in it, unless it is announced by now.
    private var asked: UInt64 = 0

    init(user: UserID, device: DeviceID) {
        self.user = user
        self.device = device
    }

    var isLive: Bool { phase == .live }
    var unacknowledged: Int { Int(pushedInWindow) }

    private var hasRoom: Bool { unacknowledged < Limits.unacknowledgedEnvelopes }

    /// A page of at most `limit` envelopes behind a position.
    struct Read: Equatable {
        var after: UInt64
        var limit: Int
    }

    /// What to do with an envelope.
    enum Step: Equatable {
        /// Push it now.
        case push
        /// Nothing: it is the device's own, or it comes with a page, or it came before.
        case pass
        /// It comes with the page that is to be read now.
        case read(Read)
    }

    /// What to do after a page.
    struct PageActions: ~Copyable {
        /// To be sent now, in this order.
        var push: [StoredEnvelope] = []
        /// After `push`: the device has everything that was there when it connected.
        var caughtUp: UInt64?
        var read: Read?
    }

    /// Everything up to `cursor` is safe on the device: begin behind it.
    mutating func begin(at cursor: UInt64, writable: Bool) -> Read? {
        self.cursor = cursor
        position = cursor
        phase = .draining(reading: false)
        return continueDraining(writable: writable)
    }

    /// The socket can take more.
    mutating func resume(writable: Bool) -> Read? { continueDraining(writable: writable) }

    /// A page that was asked for. `complete`: the mailbox had no more when it was read.
    mutating func page(_ envelopes: [StoredEnvelope], complete: Bool, writable: Bool) -> PageActions {
        var actions = PageActions()
        actions.push.reserveCapacity(envelopes.count)
        for envelope in envelopes where envelope.mailboxSeq > position && pass(envelope) { actions.push.append(envelope) }
        phase = .draining(reading: false)
        if complete, end <= max(position, asked) {
            phase = .live
            if !saidCaughtUp {
                saidCaughtUp = true
                actions.caughtUp = position
            }
        } else {
            actions.read = continueDraining(writable: writable)
        }
        return actions
    }

    /// A message was committed to the mailbox. While the stream is live all of them come through here, in their order.
    mutating func committed(_ envelope: borrowing StoredEnvelope, writable: Bool) -> Step {
        end = max(end, envelope.mailboxSeq)
        guard phase == .live, envelope.mailboxSeq > position else { return .pass }
        if hasRoom, writable { return pass(envelope) ? .push : .pass }
        phase = .draining(reading: false)
        return continueDraining(writable: writable).map { .read($0) } ?? .pass
    }

    /// The device has everything up to `seq`.
    /// - Parameter delivered: takes the highest sequence delivered in each chat.
    /// - Returns: false when the device never got that far. Call ``resume(writable:)`` afterwards: there is more room now.
    mutating func acknowledge(_ seq: UInt64, delivered: inout [ChatPosition]) -> Bool {
        guard seq <= position else { return false }
        guard seq > cursor else { return true }
        cursor = seq
        while let first = window?.first, first.mailboxSeq <= cursor || first.own {
            window?.removeFirst()
            // Own messages need no acknowledgement: the cursor passes over those that follow.
            cursor = max(cursor, first.mailboxSeq)
            if !first.own { pushedInWindow -= 1 }
            guard first.countsAsDelivery else { continue }
            if let index = delivered.firstIndex(where: { $0.chat == first.chat }) {
                delivered[index].seq = max(delivered[index].seq, first.chatSeq)
            } else {
                delivered.append(ChatPosition(chat: first.chat, seq: first.chatSeq))
            }
        }
        if window?.isEmpty == true { window = nil }
        return true
    }

    /// Moves behind the envelope; true when it must be pushed.
    private mutating func pass(_ envelope: borrowing StoredEnvelope) -> Bool {
        position = envelope.mailboxSeq
        let own = envelope.senderDevice == device
        if own {
            guard let last = window?.last else {
                cursor = position
                return false
            }
            if last.own, let index = window?.indices.last {
                window?[index].mailboxSeq = position
                return false
            }
        }
        if window == nil { window = CircularBuffer(initialCapacity: 4) }
        window?.append(
            Passed(
                mailboxSeq: envelope.mailboxSeq, chat: envelope.chat, chatSeq: envelope.chatSeq, own: own,
                countsAsDelivery: envelope.senderUser != user && !envelope.isGap))
        if !own { pushedInWindow += 1 }
        return !own
    }

    private mutating func continueDraining(writable: Bool) -> Read? {
        guard phase == .draining(reading: false), hasRoom, writable else { return nil }
        phase = .draining(reading: true)
        asked = end
        return Read(after: position, limit: min(Limits.drainPageEnvelopes, Limits.unacknowledgedEnvelopes - unacknowledged))
    }
}
