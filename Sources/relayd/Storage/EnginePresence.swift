import RelayModel
import RelaySQLite

/// A user decides what contacts may know of when they are there. Nil: as it was.
package struct SetPresence: Codable, Sendable {
    package var user: UserID
    package var status: Bool?
    package var lastSeen: Bool?
    /// That asks, and must still be allowed to.
    package var device: DeviceID?
    package init(user: UserID, status: Bool?, lastSeen: Bool?, device: DeviceID? = nil) {
        self.device = device
        self.user = user
        self.status = status
        self.lastSeen = lastSeen
    }
}

/// When a user was last there.
package struct LastSeen: Codable, Sendable, Equatable {
    package var user: UserID
    /// In whole minutes.
    package var at: Timestamp
    package init(user: UserID, at: Timestamp) {
        self.user = user
        self.at = at
    }
}

// When users are there is in memory; here is what outlives that.
extension SQLiteEngine {
    func setPresence(_ command: SetPresence) throws -> Outcome {
        _ = try presentUser(command.user)
        try checkAllowed(command.device, of: command.user)
        let stored = try reader.rows("SELECT hides FROM users WHERE user_id = ?", bind: { $0.bind(1, command.user.rawValue) }) { $0.integer(0) }.first
        var sharing = PresenceSharing(hides: stored ?? 0)
        if let status = command.status { sharing.status = status }
        if let lastSeen = command.lastSeen { sharing.lastSeen = lastSeen }
        // What is hidden is not kept either.
        try database.prepare("UPDATE users SET hides = ?2, last_seen_ms = CASE ?2 WHEN 0 THEN last_seen_ms END WHERE user_id = ?1").run {
            $0.bind(1, command.user.rawValue)
            $0.bind(2, sharing.hides)
        }
        return .presenceSet(sharing)
    }

    /// Never moves backwards, and leaves out who hides it or is gone. The caller bounds how many there are.
    func recordLastSeen(_ entries: [LastSeen]) throws -> Outcome {
        let write = try database.prepare(
            """
            UPDATE users SET last_seen_ms = ?2
            WHERE user_id = ?1 AND removed = 0 AND hides = 0 AND coalesce(last_seen_ms, 0) < ?2
            """)
        for entry in entries {
            try write.run {
                $0.bind(1, entry.user.rawValue)
                $0.bind(2, entry.at.milliseconds)
            }
        }
        return .done
    }
}
