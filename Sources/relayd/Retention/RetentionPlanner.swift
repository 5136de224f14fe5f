import RelayModel

/// Decides which messages go. Pure: policy, what is known of the chat, and the clock give the answer.
struct RetentionPlanner: Sendable {
    /// What is known of a chat.
    struct Facts: Sendable, Equatable {
        /// The longest of its members' policies.
        var policy: RetentionPolicy
        /// All devices have everything up to here.
        var acknowledged: UInt64
        /// Up to here it is beyond the space of every member.
        var beyondSpace: UInt64
    }

    var now: Timestamp

    /// Up to which message each rule takes a chat's messages; in the order in which a message's rule is looked for.
    func ends(_ facts: Facts) -> [(rule: RetentionRule, end: MessageID)] {
        var ends: [(RetentionRule, MessageID)] = []
        let policy = facts.policy
        if let days = policy.undeliveredDays { ends.append((.undelivered, end(days))) }
        if let days = policy.deliveredDays { ends.append((.delivered, min(end(days), MessageID(facts.acknowledged)))) }
        if policy.onceDelivered { ends.append((.onceDelivered, MessageID(facts.acknowledged))) }
        if policy.userBytes != nil { ends.append((.space, MessageID(min(facts.beyondSpace, facts.acknowledged)))) }
        return ends
    }

    /// The last message of a chat that goes; nil when none does.
    func end(_ facts: Facts) -> MessageID? { ends(facts).map(\.end).max().flatMap { $0.rawValue > 0 ? $0 : nil } }

    /// Why a message goes; nil when it stays.
    func rule(for message: MessageID, _ facts: Facts) -> RetentionRule? { ends(facts).first { message <= $0.end }?.rule }

    /// Messages carry their time: everything below was sent more than `days` ago.
    private func end(_ days: Int) -> MessageID {
        let limit = Stamp(time: Timestamp(milliseconds: now.milliseconds - Int64(days) * 86_400_000))
        return MessageID(limit.rawValue == 0 ? 0 : limit.rawValue - 1)
    }
}
