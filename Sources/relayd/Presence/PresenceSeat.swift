import RelayModel
import Synchronization

/// A device's connection as presence knows it: whose it is, and when something was heard of it. Any thread.
///
/// A sign of life is a store of the tick into ``heard``, without a lock; the relay looks at it when the user would otherwise be offline.
package final class PresenceSeat: Sendable {
    package let user: UserID
    package let device: DeviceID
    /// Where what others do is brought.
    let lane: any PresenceLane
    /// The tick of the last sign of life; ``silent`` after the relay has given the device up.
    let heard = Atomic<UInt32>(PresenceSeat.silent)

    static let silent: UInt32 = 0

    package init(user: UserID, device: DeviceID, lane: any PresenceLane) {
        self.user = user
        self.device = device
        self.lane = lane
    }
}

/// Brings updates to connections. The gateway has one for each event loop. Any thread.
package protocol PresenceLane: AnyObject, Sendable {
    /// Hands updates to the connections that are still there.
    /// - Returns: those whose socket takes no more now.
    func deliver(_ updates: [PresenceUpdate]) async -> [PresenceUpdate]
}

/// What one user is told of another. Hidden, blocked, unknown and never seen are all the same: offline, and nothing else.
package enum ShownPresence: Sendable, Equatable {
    case online
    /// Since the minute that they were last seen, where that is told.
    case offline(Timestamp?)

    package static let nothing = ShownPresence.offline(nil)
}

/// What one device is told.
package struct PresenceUpdate: Sendable {
    package var seat: PresenceSeat
    /// Everybody whom the device may see; who is not named is offline. Otherwise what has changed.
    package var isSnapshot: Bool
    package var users: [UserID: ShownPresence]
}

/// How a device takes part. The numbers are those of the wire.
package enum PresenceMode: UInt8, Sendable, CaseIterable {
    /// Not any more: for presence, the device has logged out.
    case leave = 1
    /// It is seen, and is told of nobody.
    case share = 2
    /// It is seen, and told of the user's contacts.
    case watch = 3
}

/// How often a device says that it is there, and when it is taken to be gone. Whole seconds.
package struct PresenceTerms: Sendable, Equatable {
    package var heartbeat: Duration
    package var offlineAfter: Duration
    package init(heartbeat: Duration = Limits.presenceHeartbeat, offlineAfter: Duration = Limits.presenceOfflineAfter) {
        self.heartbeat = heartbeat
        self.offlineAfter = offlineAfter
    }
}

/// How many there are, for the operator. Never who.
package struct PresenceCounts: Sendable, Equatable {
    /// Users of whom a device is there, those included who hide it.
    package var users = 0
    package var devices = 0
    /// Devices that are told of their contacts.
    package var watching = 0
}
