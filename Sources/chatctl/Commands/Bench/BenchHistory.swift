/// A set of message numbers, which count upwards: one bit each.
struct NumberSet: Sendable, Equatable {
    private var words: [UInt64] = []
    private(set) var count = 0

    /// False when it was there already.
    mutating func insert(_ number: UInt64) -> Bool {
        let word = Int(truncatingIfNeeded: number >> 6)
        if word >= words.count { words.append(contentsOf: repeatElement(0, count: word + 1 - words.count)) }
        let bit = UInt64(1) << (number & 63)
        guard words[word] & bit == 0 else { return false }
        words[word] |= bit
        count += 1
        return true
    }

    /// How many of these are not in `other`.
    func missing(from other: NumberSet) -> Int {
        words.indices.reduce(0) { $0 + (words[$1] & ~($1 < other.words.count ? other.words[$1] : 0)).nonzeroBitCount }
    }
}

/// What one device was told and what it was shown, within the one chat that a device of the bench is in.
///
/// It checks as it goes what can be seen on one device: the mailbox's order, the chat's order, and that nothing comes twice. A value; confined
/// to the device's event loop until the run is judged.
struct BenchHistory: Sendable {
    /// Which chat of the run.
    let chat: Int
    let device: UInt64
    /// The devices of the chat that send, in an order that all members share.
    let senders: [UInt64]
    /// Answered with `sent`.
    private(set) var accepted = NumberSet()
    /// By sender, as in ``senders``.
    private(set) var delivered: [NumberSet]
    private(set) var doubled = 0
    /// Envelopes that broke the order of the mailbox or of the chat.
    private(set) var disordered = 0
    /// Envelopes with another body than was sent.
    private(set) var corrupted = 0
    /// The highest mailbox position.
    private(set) var newest: UInt64 = 0
    /// The sum of a hash of each message with its place, the device's own included: equal for all members, in whatever order they learn of them.
    fileprivate var places: UInt64 = 0
    /// Of changes of the group and of what this device sent itself.
    fileprivate var others = 0
    fileprivate var lastSeq: UInt64 = 0
    private var lastDelivered: UInt64 = 0
    private let sends: Bool

    init(chat: Int, device: UInt64, senders: [UInt64]) {
        self.chat = chat
        self.device = device
        self.senders = senders
        sends = senders.contains(device)
        delivered = Array(repeating: NumberSet(), count: senders.count)
    }

    /// The relay answered `sent`. False when it had answered that number before.
    mutating func accept(number: UInt64, chatSeq: UInt64, messageID: UInt64) -> Bool {
        guard accepted.insert(number) else { return false }
        places &+= BenchHistory.place(chatSeq, messageID, number)
        lastSeq = max(lastSeq, chatSeq)
        return true
    }

    /// A change that this device made itself: it has a place in the chat and is not delivered to it.
    mutating func changed(chatSeq: UInt64) {
        others += 1
        lastSeq = max(lastSeq, chatSeq)
    }

    /// The relay delivered an envelope. True when it is a message that this device had not.
    mutating func deliver(_ envelope: BenchFrames.Envelope, bodyBytes: Int) -> Bool {
        // Own envelopes are passed over, so one who sends sees gaps in the chat's sequence; they are counted when the run is judged.
        let follows = envelope.mailboxSeq > newest && (sends ? envelope.chatSeq > lastDelivered : envelope.chatSeq == lastDelivered + 1)
        newest = max(newest, envelope.mailboxSeq)
        lastDelivered = max(lastDelivered, envelope.chatSeq)
        lastSeq = max(lastSeq, envelope.chatSeq)
        if envelope.special {
            if !follows { disordered += 1 }
            others += 1
            return false
        }
        guard let sender = senders.firstIndex(of: envelope.senderDevice) else {
            corrupted += 1
            return false
        }
        // A number that only a broken relay gives would ask for memory without end.
        guard envelope.stampedNumber == envelope.clientMessageID, envelope.bodyBytes == bodyBytes, envelope.clientMessageID < 1 << 32 else {
            corrupted += 1
            return false
        }
        guard delivered[sender].insert(envelope.clientMessageID) else {
            doubled += 1
            return false
        }
        if !follows { disordered += 1 }
        places &+= BenchHistory.place(envelope.chatSeq, envelope.messageID, envelope.clientMessageID)
        return true
    }

    /// Mixed well enough that two different sets of places have the same sum by chance only (the finaliser of SplitMix64).
    private static func place(_ chatSeq: UInt64, _ messageID: UInt64, _ number: UInt64) -> UInt64 {
        var hash = chatSeq &* 0x9E37_79B9_7F4A_7C15 &+ messageID &* 0xD1B5_4A32_D192_ED03 &+ number
        hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
        return hash ^ hash >> 31
    }
}

/// What a run promised and what came of it.
struct BenchVerdict: Codable, Sendable, Equatable {
    /// Answered with `sent`.
    var accepted = 0
    /// Copies that reached the devices which did not send them.
    var delivered = 0
    /// Copies of accepted messages that never came.
    var lost = 0
    /// Copies that came again.
    var doubled = 0
    /// Copies that broke an order: the mailbox's, the chat's, or the one that all members share.
    var disordered = 0
    /// Copies with another body or number than was sent.
    var corrupted = 0

    var holds: Bool { lost == 0 && doubled == 0 && disordered == 0 && corrupted == 0 }

    /// Judges the devices of a run: what was acknowledged is delivered to every other member, once, and all members saw one order.
    static func judge(_ histories: [BenchHistory]) -> BenchVerdict {
        var verdict = BenchVerdict()
        for chat in Dictionary(grouping: histories, by: \.chat).values {
            let senders = chat.first?.senders ?? []
            let accepted = senders.map { sender in chat.first { $0.device == sender }?.accepted ?? NumberSet() }
            var complete: [BenchHistory] = []
            for history in chat {
                verdict.accepted += history.accepted.count
                verdict.doubled += history.doubled
                verdict.disordered += history.disordered
                verdict.corrupted += history.corrupted
                var same = true
                for (index, sender) in senders.enumerated() where sender != history.device {
                    verdict.delivered += history.delivered[index].count
                    verdict.lost += accepted[index].missing(from: history.delivered[index])
                    if accepted[index] != history.delivered[index] { same = false }
                }
                if same { complete.append(history) }
            }
            // Those who have the same messages have them at the same places, and no place of the chat is empty.
            guard let first = complete.first else { continue }
            for history in complete {
                let messages = history.accepted.count + history.delivered.reduce(0) { $0 + $1.count }
                if history.places != first.places || history.lastSeq != UInt64(messages + history.others) { verdict.disordered += 1 }
            }
        }
        return verdict
    }

    static func + (left: BenchVerdict, right: BenchVerdict) -> BenchVerdict {
        BenchVerdict(
            accepted: left.accepted + right.accepted, delivered: left.delivered + right.delivered, lost: left.lost + right.lost,
            doubled: left.doubled + right.doubled, disordered: left.disordered + right.disordered, corrupted: left.corrupted + right.corrupted)
    }
}
