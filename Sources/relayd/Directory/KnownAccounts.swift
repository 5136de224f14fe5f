import RelayModel
import RelayStorage

/// What the directory keeps in memory of devices and users, so that a token is checked without touching the disk.
struct KnownAccounts: Sendable {
    /// Not revoked, of users who are there.
    private var active: [DeviceID: UserID]
    private var suspended: Set<UserID>
    private var withoutLimits: Set<UserID>

    init(active: [(DeviceID, UserID)], suspended: [UserID], withoutLimits: [UserID]) {
        self.active = Dictionary(uniqueKeysWithValues: active)
        self.suspended = Set(suspended)
        self.withoutLimits = Set(withoutLimits)
    }

    func isActive(_ device: DeviceID) -> Bool { active[device] != nil }

    func isSuspended(_ user: UserID) -> Bool { suspended.contains(user) }

    func hasNoLimits(_ user: UserID) -> Bool { withoutLimits.contains(user) }

    /// Why a device may not be connected; nil when it may.
    func refusal(of device: DeviceID) -> DirectoryError? {
        guard let user = active[device] else { return .deviceRevoked }
        return isSuspended(user) ? .userSuspended : nil
    }

    /// Takes over what a command changed. To be called in the order of the commits: two that came at the same time must not be taken over in another order
    /// than the disk has them, or a device that was revoked would be active again.
    mutating func follow(_ command: Command, _ outcome: Outcome) {
        switch (command, outcome) {
        case (_, .enrolled(let enrolled)): active[enrolled.device] = enrolled.user
        case (.revokeDevice(let device), .deviceRevoked): active[device] = nil
        case (.addUser(let add), .userAdded(let user, _)): if add.noLimits { withoutLimits.insert(user) }
        case (.suspendUser(let user, _), .done): suspended.insert(user)
        case (.resumeUser(let user), .done): suspended.remove(user)
        case (.eraseUser(let erase), .erasureAsked): suspended.insert(erase.user)
        case (.cancelErasure(let user), .erasureCancelled(let isSuspended)): if !isSuspended { suspended.remove(user) }
        case (_, .userGone(let gone)):
            for device in gone.devices { active[device] = nil }
            suspended.remove(gone.user)
            withoutLimits.remove(gone.user)
        default: break
        }
    }
}
