import RelayModel

/// An alert as it is kept.
package struct AlertRow: Codable, Sendable, Equatable {
    /// Counts from 1.
    package var id: Int
    package var kind: AlertKind
    package var subject: AlertSubject?
    /// Events so far; of a watched figure 1.
    package var count: Int
    /// The worst figure so far, in the unit of the kind; of events the last one's.
    package var figure: Int
    package var firstAt: Timestamp
    package var lastAt: Timestamp
    /// Nil: it goes on.
    package var overAt: Timestamp?
    /// Nil: no operator has said that they know.
    package var acknowledgedAt: Timestamp?

    package init(id: Int, kind: AlertKind, subject: AlertSubject?, count: Int, figure: Int, firstAt: Timestamp, lastAt: Timestamp) {
        self.id = id
        self.kind = kind
        self.subject = subject
        self.count = count
        self.figure = figure
        self.firstAt = firstAt
        self.lastAt = lastAt
    }
}

/// Alerts that are new or changed. Bounded by whoever makes it.
package struct RecordAlerts: Codable, Sendable {
    package var rows: [AlertRow]
    /// What was over before then is forgotten.
    package var forgetBefore: Timestamp
    package init(rows: [AlertRow], forgetBefore: Timestamp) {
        self.rows = rows
        self.forgetBefore = forgetBefore
    }
}

/// How busy the relay was on one day, for hints about the size of the host. Nothing in it is about a person.
package struct LoadDay: Codable, Sendable, Equatable {
    /// Days since 1970-01-01 UTC.
    package var day: Int
    /// Minutes that were looked at: the relay may have been down.
    package var minutes: Int
    /// Of all the host's processors, in the busiest five minutes, in thousandths.
    package var busiest: Int
    /// Answers `overloaded` and `internal`.
    package var failures: Int
    /// Most messages that waited for devices.
    package var undelivered: Int
    /// Of the store's file, at the end.
    package var storeBytes: Int
    package init(day: Int, minutes: Int = 0, busiest: Int = 0, failures: Int = 0, undelivered: Int = 0, storeBytes: Int = 0) {
        self.day = day
        self.minutes = minutes
        self.busiest = busiest
        self.failures = failures
        self.undelivered = undelivered
        self.storeBytes = storeBytes
    }
}
