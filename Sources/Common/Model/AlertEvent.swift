/// Something that happened about which an operator may have to know, found by the relay itself.
package struct AlertEvent: Sendable, Equatable {
    package var kind: AlertKind
    /// Nil: the relay itself.
    package var subject: AlertSubject?
    /// How many messages, prekeys or changes it was about; 0 where that says nothing.
    package var figure: Int
    package init(_ kind: AlertKind, about subject: AlertSubject? = nil, figure: Int = 0) {
        self.kind = kind
        self.subject = subject
        self.figure = figure
    }
}

/// Whom an alert is about. Never in a log line, and in nothing that is handed over.
package enum AlertSubject: Sendable, Hashable, Codable {
    case user(UserID)
    case device(DeviceID)
}

/// Takes what happened. Called on any thread, event loops included: note it and return.
package protocol AlertSink: Sendable {
    func raise(_ event: AlertEvent)
    /// What was raised of this kind before is put right: nobody has to wait until it is forgotten.
    func settle(_ kind: AlertKind)
}
