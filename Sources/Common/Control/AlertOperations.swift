import RelayModel

/// An alert, without whom it is about: ``AlertShow`` says that.
package struct AlertRecord: Codable, Sendable, Equatable {
    package var alert: Int
    package var kind: String
    package var severity: AlertSeverity
    package var firstAt: Timestamp
    package var lastAt: Timestamp
    /// Absent: it goes on.
    package var overAt: Timestamp?
    /// Absent: nobody has said that they know.
    package var acknowledgedAt: Timestamp?
    /// Events so far; of a watched figure 1.
    package var count: Int
    /// The worst so far. Absent for events.
    package var figure: Int?
    package var unit: AlertUnit?
    package var text: String
    package var advice: String

    package init(
        alert: Int, kind: String, severity: AlertSeverity, firstAt: Timestamp, lastAt: Timestamp, overAt: Timestamp?, acknowledgedAt: Timestamp?,
        count: Int, figure: Int?, unit: AlertUnit?, text: String, advice: String
    ) {
        self.alert = alert
        self.kind = kind
        self.severity = severity
        self.firstAt = firstAt
        self.lastAt = lastAt
        self.overAt = overAt
        self.acknowledgedAt = acknowledgedAt
        self.count = count
        self.figure = figure
        self.unit = unit
        self.text = text
        self.advice = advice
    }
}

/// Alerts, newest first.
package struct AlertList: ControlOperation {
    package static let name = ControlOperationName.alertList
    /// Those that are over, too. Absent: those that go on, and what is over but was not acknowledged.
    package var all: Bool?
    package init(all: Bool? = nil) { self.all = all }
    package struct Reply: Codable, Sendable {
        package var alerts: [AlertRecord]
        package init(alerts: [AlertRecord]) { self.alerts = alerts }
    }
}

/// One alert, with whom it is about.
package struct AlertShow: ControlOperation {
    package static let name = ControlOperationName.alertShow
    package var alert: Int
    package init(alert: Int) { self.alert = alert }
    package struct Reply: Codable, Sendable {
        package var alert: AlertRecord
        /// Absent: about the relay itself, or about somebody who is gone.
        package var user: String?
        package var device: DeviceID?
        package init(alert: AlertRecord, user: String?, device: DeviceID?) {
            self.alert = alert
            self.user = user
            self.device = device
        }
    }
}

/// An operator knows of alerts.
package struct AlertAcknowledge: ControlOperation {
    package static let name = ControlOperationName.alertAcknowledge
    /// Absent: all that nobody has acknowledged.
    package var alerts: [Int]?
    /// For the audit log.
    package var reason: String?
    package init(alerts: [Int]?, reason: String? = nil) {
        self.alerts = alerts
        self.reason = reason
    }
    package typealias Reply = AlertList.Reply
}

/// Hands a test over, as alerts are.
package struct AlertTest: ControlOperation {
    package static let name = ControlOperationName.alertTest
    /// A command that hangs is given up by relayd, which says so, and not by who asked.
    package static let patience = Limits.alertPatience + Limits.controlPatience
    package init() {}
    package struct Reply: Codable, Sendable {
        /// Where it went.
        package var target: String
        package var milliseconds: Int
        package init(target: String, milliseconds: Int) {
            self.target = target
            self.milliseconds = milliseconds
        }
    }
}

/// One kind of alert, with the operator's figures in it.
package struct AlertKindRecord: Codable, Sendable, Equatable {
    package var kind: String
    package var severity: AlertSeverity
    /// Events that make an alert, or the figure from which on there is one.
    package var raise: Int
    /// The figure at which it is over. Absent for events.
    package var clear: Int?
    package var unit: AlertUnit
    /// A figure must stay beyond for so long; events must be no further apart, and when none came for as long it is over.
    package var seconds: Int
    package var text: String
    package var advice: String

    package init(
        kind: String, severity: AlertSeverity, raise: Int, clear: Int?, unit: AlertUnit, seconds: Int, text: String, advice: String
    ) {
        self.kind = kind
        self.severity = severity
        self.raise = raise
        self.clear = clear
        self.unit = unit
        self.seconds = seconds
        self.text = text
        self.advice = advice
    }
}

/// What there can be alerts about, and where they go.
package struct AlertKinds: ControlOperation {
    package static let name = ControlOperationName.alertKinds
    package init() {}
    package struct Reply: Codable, Sendable {
        package var kinds: [AlertKindRecord]
        /// The command's path or the server's URL. Absent: alerts are in the log only.
        package var target: String?
        /// This and worse is handed over.
        package var severity: AlertSeverity
        package init(kinds: [AlertKindRecord], target: String?, severity: AlertSeverity) {
            self.kinds = kinds
            self.target = target
            self.severity = severity
        }
    }
}
