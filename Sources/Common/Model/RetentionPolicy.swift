/// How long the relay keeps messages. It holds for a user; in a chat the longest of its members' policies counts, so that nobody loses a message
/// before their own policy says so.
package struct RetentionPolicy: Codable, Sendable, Equatable {
    /// Days after which a message goes that all devices of its chat have; nil: not because of that.
    package var deliveredDays: Int?
    /// Days after which a message goes, whoever has it; nil: not because of that.
    package var undeliveredDays: Int?
    /// Bytes of a user's messages that stay, the newest; what is older goes when all devices of its chat have it and it is beyond this for every
    /// member. Nil: as many as there are.
    package var userBytes: Int?
    /// A message goes as soon as all devices of its chat have it.
    package var onceDelivered: Bool

    package init(deliveredDays: Int?, undeliveredDays: Int?, userBytes: Int?, onceDelivered: Bool = false) {
        self.deliveredDays = deliveredDays
        self.undeliveredDays = undeliveredDays
        self.userBytes = userBytes
        self.onceDelivered = onceDelivered
    }

    /// Two weeks for what is delivered, a month for the rest, 10 MB a user.
    package static let standard = RetentionPolicy(deliveredDays: 14, undeliveredDays: 30, userBytes: 10 * 1024 * 1024)
    /// Nothing ever goes.
    package static let forever = RetentionPolicy(deliveredDays: nil, undeliveredDays: nil, userBytes: nil)

    package static let days = 1...36_500
    package static let bytes = 64 * 1024...1 << 50

    /// What keeps longer, rule by rule.
    package func longer(than other: RetentionPolicy) -> RetentionPolicy {
        func most(_ one: Int?, _ other: Int?) -> Int? {
            guard let one, let other else { return nil }
            return max(one, other)
        }
        return RetentionPolicy(
            deliveredDays: most(deliveredDays, other.deliveredDays), undeliveredDays: most(undeliveredDays, other.undeliveredDays),
            userBytes: most(userBytes, other.userBytes), onceDelivered: onceDelivered && other.onceDelivered)
    }
}

/// Why a message goes.
package enum RetentionRule: String, Codable, Sendable, CaseIterable {
    /// Too old, whoever has it.
    case undelivered
    /// Everybody has it, and it is old.
    case delivered
    /// Everybody has it.
    case onceDelivered
    /// Everybody has it, and newer ones fill its users' space.
    case space
}
