import RelayModel
import RelaySQLite

/// What the store knows of a user's presence.
package struct PresenceRow: Sendable, Equatable {
    package var user: UserID
    package var sharing: PresenceSharing
    /// Nil when it is not known or hidden.
    package var lastSeen: Timestamp?
    package init(user: UserID, sharing: PresenceSharing = PresenceSharing(), lastSeen: Timestamp? = nil) {
        self.user = user
        self.sharing = sharing
        self.lastSeen = lastSeen
    }
}

/// A user with those whose presence they may see.
package struct PresenceAudience: Sendable, Equatable {
    package var own: PresenceRow
    /// Accepted contacts that neither side blocks, in the order of their identifiers; at most ``Limits/contacts``.
    package var contacts: [PresenceRow]
    package init(own: PresenceRow, contacts: [PresenceRow]) {
        self.own = own
        self.contacts = contacts
    }
}

// Who may see whom.
extension Reader {
    /// Nil when there is no such user.
    package func presence(of user: UserID) throws -> PresenceRow? {
        try rows(
            "SELECT user_id, hides, last_seen_ms FROM users WHERE user_id = ? AND removed = 0", bind: { $0.bind(1, user.rawValue) },
            Reader.presence
        ).first
    }

    /// On a relay where everybody may write to everybody, too, only those count who have accepted each other. Nil when there is no such user.
    package func presenceAudience(of user: UserID) throws -> PresenceAudience? {
        try snapshot {
            guard let own = try presence(of: user) else { return nil }
            return PresenceAudience(
                own: own,
                contacts: try rows(
                    """
                    SELECT u.user_id, u.hides, u.last_seen_ms FROM contacts c JOIN users u ON u.user_id = c.peer_id
                    WHERE c.user_id = ?1 AND c.relation = 5 AND NOT c.blocks AND NOT c.is_blocked AND u.removed = 0
                    ORDER BY c.peer_id LIMIT ?2
                    """,
                    bind: {
                        $0.bind(1, user.rawValue)
                        $0.bind(2, Limits.contacts)
                    }, Reader.presence))
        }
    }

    /// The same with only those who are in a group. Nil when the user is not in it, or it is none.
    package func presenceAudience(of user: UserID, in chat: ChatID) throws -> PresenceAudience? {
        try snapshot {
            let isMember = try rows(
                """
                SELECT 1 FROM members JOIN chats USING (chat_id) WHERE chat_id = ?1 AND user_id = ?2 AND left_seq IS NULL AND kind = 1
                """,
                bind: {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, user.rawValue)
                }
            ) { $0.integer(0) }.first
            guard isMember != nil, let own = try presence(of: user) else { return nil }
            return PresenceAudience(
                own: own,
                contacts: try rows(
                    """
                    SELECT u.user_id, u.hides, u.last_seen_ms
                    FROM members m JOIN contacts c ON c.user_id = ?2 AND c.peer_id = m.user_id JOIN users u ON u.user_id = m.user_id
                    WHERE m.chat_id = ?1 AND m.left_seq IS NULL AND c.relation = 5 AND NOT c.blocks AND NOT c.is_blocked AND u.removed = 0
                    ORDER BY m.user_id LIMIT ?3
                    """,
                    bind: {
                        $0.bind(1, chat.rawValue)
                        $0.bind(2, user.rawValue)
                        $0.bind(3, Limits.contacts)
                    }, Reader.presence))
        }
    }

    private static func presence(_ row: Statement) -> PresenceRow {
        PresenceRow(
            user: UserID(row.unsigned(0)), sharing: PresenceSharing(hides: row.integer(1)),
            lastSeen: row.isNull(2) ? nil : Timestamp(milliseconds: row.integer(2)))
    }
}
