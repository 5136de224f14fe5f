/// A figure about people that the relay publishes, with noise. The names go into the store, the configuration and metrics: never change one.
///
/// What a user does counts as theirs, whomever it concerns. One user changes a figure by at most its clamp (Δ) in one period.
package enum PeopleMetric: String, CaseIterable, Codable, Sendable, Comparable {
    /// Users that had a connection.
    case activeUsers = "active_users"
    /// Devices that had a connection.
    case activeDevices = "active_devices"
    /// Messages that users sent, each once whatever the number of its recipients.
    case messagesAccepted = "messages_accepted"
    /// Messages that were purged before any device of a recipient had them, counted for each recipient.
    case expiredUnread = "expired_unread"
    /// Users that were added.
    case registrations
    /// Decisions of users to block somebody. There are no reports yet.
    case blocksAndReports = "blocks_and_reports"

    package var period: PeoplePeriod { self == .blocksAndReports ? .week : .day }

    /// For people.
    package var words: String {
        switch self {
        case .activeUsers: "active users"
        case .activeDevices: "active devices"
        case .messagesAccepted: "messages accepted"
        case .expiredUnread: "expired unread"
        case .registrations: "registrations"
        case .blocksAndReports: "blocks and reports"
        }
    }

    /// What it counts, as a sentence without its end.
    package var explanation: String {
        switch self {
        case .activeUsers: "Users that had a connection"
        case .activeDevices: "Devices that had a connection"
        case .messagesAccepted: "Messages that users sent"
        case .expiredUnread: "Messages purged before any device of a recipient had them"
        case .registrations: "Users that were added"
        case .blocksAndReports: "Decisions of users to block somebody"
        }
    }

    package var standard: PeopleParameters {
        switch self {
        case .activeUsers: PeopleParameters(clamp: 1, epsilonThousandths: 300)
        case .activeDevices: PeopleParameters(clamp: 5, epsilonThousandths: 200)
        case .messagesAccepted: PeopleParameters(clamp: 64, epsilonThousandths: 200)
        case .expiredUnread: PeopleParameters(clamp: 64, epsilonThousandths: 100)
        case .registrations: PeopleParameters(clamp: 1, epsilonThousandths: 100)
        case .blocksAndReports: PeopleParameters(clamp: 4, epsilonThousandths: 100)
        }
    }

    /// A user cannot contribute more than once, so that there is nothing to configure.
    package var isOnceAUser: Bool { self == .activeUsers || self == .registrations }

    package static func < (left: PeopleMetric, right: PeopleMetric) -> Bool { left.place < right.place }
    private var place: Int { PeopleMetric.allCases.firstIndex(of: self) ?? 0 }
}

/// The time that one figure is about. Days are numbered since 1970-01-01, in UTC; a week begins on Monday.
package enum PeoplePeriod: String, Codable, Sendable {
    case day, week

    package var days: Int { self == .day ? 1 : 7 }

    /// The first day of the period that a day is in. 1970-01-01 was a Thursday.
    package func start(of day: Int) -> Int { self == .day ? day : day - (((day + 3) % 7) + 7) % 7 }

    /// When the period that begins with this day is over.
    package func end(from start: Int) -> Timestamp { PeoplePeriod.beginning(of: start + days) }

    package static func beginning(of day: Int) -> Timestamp { Timestamp(milliseconds: Int64(day) * 86_400_000) }

    /// The number of the day that a moment is in.
    package static func day(of time: Timestamp) -> Int {
        let (day, rest) = time.milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
        return Int(rest < 0 ? day - 1 : day)
    }

    /// `2026-11-21`
    package static func name(of day: Int) -> String { String(beginning(of: day).description.prefix(10)) }
}

/// How a figure is protected.
package struct PeopleParameters: Codable, Sendable, Equatable {
    /// Δ: by how much one user changes the figure at most.
    package var clamp: Int
    /// ε: what one release spends of the privacy budget. Whole thousandths, so that it is exact. 0: the figure is not counted.
    package var epsilonThousandths: Int

    package init(clamp: Int, epsilonThousandths: Int) {
        self.clamp = clamp
        self.epsilonThousandths = epsilonThousandths
    }

    /// Figures are rounded to multiples of it: the noise's scale, Δ/ε, in whole numbers.
    package var bin: Int { epsilonThousandths > 0 ? max(1, clamp * 1000 / epsilonThousandths) : 1 }
}

/// What an operator decides about figures about people. A change holds from the next period on.
package struct PeopleSettings: Sendable, Equatable {
    package var isOn = true
    /// With fewer registered users, roughly, nothing is published.
    package var minimumUsers = Limits.peopleMinimumUsers.lowerBound
    /// A figure below it, after noise and rounding, is suppressed.
    package var threshold = 20
    package var parameters = Dictionary(uniqueKeysWithValues: PeopleMetric.allCases.map { ($0, $0.standard) })

    package init() {}

    package subscript(metric: PeopleMetric) -> PeopleParameters {
        get { parameters[metric] ?? metric.standard }
        set { parameters[metric] = newValue }
    }
}

/// Are there enough users to publish anything? Asked once a week, with noise of its own, because the answer depends on every one of them.
package enum PeopleGate {
    package static let clamp = 1
    package static let epsilonThousandths = 200

    /// Who was above stays above until there are a fifth fewer, so that noise does not make figures come and go.
    package static func passes(noised users: Int64, minimum: Int, passedBefore: Bool) -> Bool {
        users >= Int64(passedBefore ? minimum - minimum / 5 : minimum)
    }
}

/// An ε as people write it: `0.3` is 300 thousandths.
package enum Epsilon {
    /// Nil for anything but digits, and up to three behind a point.
    package static func thousandths(_ text: String) -> Int? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let whole = Int(parts[0]), whole < 1_000_000
        else { return nil }
        guard parts.count == 2 else { return whole * 1000 }
        guard parts[1].count <= 3, let fraction = Int(parts[1] + String(repeating: "0", count: 3 - parts[1].count)) else { return nil }
        return whole * 1000 + fraction
    }

    package static func text(_ thousandths: Int) -> String {
        let (whole, rest) = thousandths.quotientAndRemainder(dividingBy: 1000)
        guard rest != 0 else { return "\(whole)" }
        var digits = String(1000 + rest).dropFirst()
        while digits.last == "0" { digits = digits.dropLast() }
        return "\(whole).\(digits)"
    }
}
