/// Something that an operator should know about, found by the relay itself.
package struct Alert: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// A user's devices asked to send more messages within the window than a person does; what was refused counts too.
        case overThreshold(user: UserID, messages: Int, window: Duration)
        /// A device that had been told of a block sent all the same: a client with a bug, or somebody who tries.
        case blockedSender(user: UserID)
        /// A device has fewer one-time prekeys left than ``Limits/lowPrekeys``: somebody drains them, or it is away for long.
        case lowPrekeys(device: DeviceID, left: Int)
        /// A device changed its keys more often in a day than ``Limits/keyChangesBeforeAlert``: a client with a bug, or somebody who tries.
        case keyChangeFlood(device: DeviceID, changes: Int)

        /// What kind of thing it is, without whom it is about: may stand in a log line.
        package var className: String {
            switch self {
            case .overThreshold: "over_threshold"
            case .blockedSender: "blocked_sender"
            case .lowPrekeys: "low_prekeys"
            case .keyChangeFlood: "key_change_flood"
            }
        }
    }

    package var at: Timestamp
    package var kind: Kind
    package init(at: Timestamp, kind: Kind) {
        self.at = at
        self.kind = kind
    }
}

/// Takes alerts. Called on any thread, event loops included: note it and return.
package protocol AlertSink: Sendable {
    func raise(_ alert: Alert)
}
