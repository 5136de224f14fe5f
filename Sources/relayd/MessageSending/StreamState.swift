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
struct StreamState: ~Copyable {
    /// What is known of an envelope that was passed and is not acknowledged.
    private struct Passed {
        var mailboxSeq: UInt64
        var chat: ChatID
        var chatSeq: UInt64
        /// Sent by this device: never pushed, so never acknowledged by it.
        var own: Bool
        /// Somebody else's, so that its delivery is worth a receipt.
        var countsAsDelivery: Bool
    }

    private enum Phase: Equatable {
        /// Where the device is, is being looked up.
        case starting
        /// `reading`: a page is on its way.
        case draining(reading: Bool)
        case live
    }

    private let user: UserID
    private let device: DeviceID
    private var phase = Phase.starting
    private var window = CircularBuffer<Passed>(initialCapacity: 1)
    private var pushedInWindow = 0
    /// Everything up to here is safe on the device.
    private(set) var cursor: UInt64 = 0
    /// Everything up to here was pushed or passed over.
    private(set) var position: UInt64 = 0
    /// The mailbox reaches at least to here.
    private var end: UInt64 = 0
    private var saidCaughtUp = false

    init(user: UserID, device: DeviceID) {
        self.user = user
        self.device = device
    }

    var isLive: Bool { phase == .live }
    var unacknowledged: Int { pushedInWindow }

    private var hasRoom: Bool { pushedInWindow < Limits.unacknowledgedEnvelopes }

    /// What to do next.
    struct Actions: ~Copyable {
        /// To be sent now, in this order.
        var push: [StoredEnvelope] = []
        /// After `push`: the device has everything that was there when it connected.
        var caughtUp: UInt64?
        /// Read a page of at most `limit` envelopes behind this sequence.
        var read: (after: UInt64, limit: Int)?
    }

    /// Everything up to `cursor` is safe on the device: begin behind it.
    mutating func begin(at cursor: UInt64, writable: Bool) -> Actions {
        var actions = Actions()
        self.cursor = cursor
        position = cursor
        phase = .draining(reading: false)
        continueDraining(&actions, writable: writable)
        return actions
    }

    /// The socket can take more.
    mutating func resume(writable: Bool) -> Actions {
        var actions = Actions()
        continueDraining(&actions, writable: writable)
        return actions
    }

    /// A page that was asked for. `complete`: the mailbox had no more when it was read.
    mutating func page(_ envelopes: [StoredEnvelope], complete: Bool, writable: Bool) -> Actions {
        var actions = Actions()
        for envelope in envelopes where envelope.mailboxSeq > position { pass(envelope, &actions) }
        phase = .draining(reading: false)
        if complete, position >= end {
            phase = .live
            if !saidCaughtUp {
                saidCaughtUp = true
                actions.caughtUp = position
            }
        } else {
            continueDraining(&actions, writable: writable)
        }
        return actions
    }

    /// A message was committed to the mailbox.
    mutating func committed(_ envelope: StoredEnvelope, writable: Bool) -> Actions {
        var actions = Actions()
        end = max(end, envelope.mailboxSeq)
        guard phase == .live, envelope.mailboxSeq > position else { return actions }
        if envelope.mailboxSeq == position + 1, hasRoom, writable {
            pass(envelope, &actions)
        } else {
            phase = .draining(reading: false)
            continueDraining(&actions, writable: writable)
        }
        return actions
    }

    /// The device has everything up to `seq`.
    /// - Returns: the highest sequence delivered in each chat, and what to do next; nil when the device never got that far.
    mutating func acknowledge(_ seq: UInt64, writable: Bool, delivered: inout [ChatPosition]) -> Actions? {
        guard seq <= position else { return nil }
        var actions = Actions()
        guard seq > cursor else { return actions }
        cursor = seq
        while let first = window.first, first.mailboxSeq <= cursor || first.own {
            window.removeFirst()
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
        // An idle connection keeps nothing of its busiest moment.
        if window.isEmpty, window.capacity > 16 { window = CircularBuffer(initialCapacity: 1) }
        continueDraining(&actions, writable: writable)
        return actions
    }

    private mutating func pass(_ envelope: StoredEnvelope, _ actions: inout Actions) {
        position = envelope.mailboxSeq
        let own = envelope.senderDevice == device
        if own, window.isEmpty {
            cursor = position
            return
        }
        if own, let last = window.last, last.own {
            window[window.index(before: window.endIndex)].mailboxSeq = position
            return
        }
        window.append(
            Passed(
                mailboxSeq: envelope.mailboxSeq, chat: envelope.chat, chatSeq: envelope.chatSeq, own: own,
                countsAsDelivery: envelope.senderUser != user))
        if !own {
            pushedInWindow += 1
            actions.push.append(envelope)
        }
    }

    private mutating func continueDraining(_ actions: inout Actions, writable: Bool) {
        guard phase == .draining(reading: false), hasRoom, writable else { return }
        phase = .draining(reading: true)
        actions.read = (position, min(Limits.drainPageEnvelopes, Limits.unacknowledgedEnvelopes - pushedInWindow))
    }
}
