/// What a user lets their contacts know of when they are there. Who hides something does not see it of others either.
package struct PresenceSharing: Codable, Sendable, Equatable {
    /// Whether they are online. Who hides that hides when they were last seen as well: it would tell.
    package var status: Bool
    /// When they were last there.
    package var lastSeen: Bool

    package init(status: Bool = true, lastSeen: Bool = true) {
        self.status = status
        self.lastSeen = lastSeen
    }

    /// Contacts may know when the user was last seen; otherwise the relay does not keep it.
    package var tellsLastSeen: Bool { status && lastSeen }

    /// What one side of a pair is told of the other: what both share.
    package func and(_ other: PresenceSharing) -> PresenceSharing {
        PresenceSharing(status: status && other.status, lastSeen: lastSeen && other.lastSeen)
    }

    /// As the store keeps it: a bit for what is hidden.
    package init(hides: Int64) { self.init(status: hides & 1 == 0, lastSeen: hides & 2 == 0) }
    package var hides: Int64 { (status ? 0 : 1) | (lastSeen ? 0 : 2) }
}
