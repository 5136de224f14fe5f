import FoundationEssentials
import RelayModel
import RelayStorage

/// What is handed over to the operator's command or server. Says what and how much, never about whom.
package struct AlertNotice: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable {
        case began
        case ended
        /// Somebody asked for it with `chatctl alert test`.
        case test
    }

    package var state: State
    /// The relay's public URL, for those who have several.
    package var relay: String
    /// Of `chatctl alert show`; 0 for a test.
    package var alert: Int
    package var kind: String
    package var severity: AlertSeverity
    package var at: Timestamp
    package var since: Timestamp
    /// Events; of a watched figure 1.
    package var count: Int
    /// Absent for events.
    package var figure: Int?
    package var unit: AlertUnit?
    package var text: String
    package var advice: String
    /// Notices of the same kind that were left out before this one, because they came too fast.
    package var leftOut: Int

    init(_ turn: AlertBook.Turn, _ rule: AlertKind.Rule, relay: String, at now: Timestamp) {
        let row = turn.row
        switch turn {
        case .began: state = .began
        case .ended: state = .ended
        }
        self.relay = relay
        alert = row.id
        kind = row.kind.rawValue
        severity = rule.severity
        at = now
        since = row.firstAt
        count = row.count
        if case .reading(_, _, _, let unit) = rule.trigger {
            figure = row.figure
            self.unit = unit
        }
        text = rule.about
        advice = rule.advice
        leftOut = 0
    }

    init(testOf relay: String, at now: Timestamp) {
        state = .test
        self.relay = relay
        alert = 0
        kind = "test"
        severity = .info
        at = now
        since = now
        count = 1
        text = "this is a test"
        advice = "nothing is to be done"
        leftOut = 0
    }

    /// Compact, keys in the order of the alphabet.
    func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }
}
