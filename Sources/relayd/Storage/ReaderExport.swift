import RelayModel
import RelaySQLite

/// A contact as its user is told it, ended ones included.
package struct ExportedContactRow: Sendable {
    package var contact: ContactRow
    /// Nil when the other one was removed.
    package var peerName: UserName?
}

/// One stay of a user in a chat.
package struct StayRow: Sendable {
    package var chat: ChatID
    package var kind: ChatKind
    /// The other user of a direct chat.
    package var peer: UserID?
    package var role: GroupRole
    package var memberCount: Int
    package var joinedSeq: UInt64
    package var joinedAt: Timestamp
    /// Nil while the stay goes on.
    package var leftSeq: UInt64?
    package var leftAt: Timestamp?
}

/// What is known of a message without its content.
package struct MessageRow: Sendable {
    package enum Kind: Sendable { case message, change, deletion, deleted }
    package var message: MessageID
    package var chat: ChatID
    package var seq: UInt64
    package var kind: Kind
    package var senderUser: UserID
    package var senderDevice: DeviceID
    package var clientMessageID: UInt64
    /// Of the encrypted body.
    package var bytes: Int
    /// The user deleted it from their own devices.
    package var hidden: Bool
}

/// A page of a user's messages.
package struct MessageRowsPage: Sendable {
    package var rows: [MessageRow]
    /// Where the next page begins; nil at the end. There may be a next page behind one without rows.
    package var next: ChatPosition?
}

// Everything that is held about one user, in pages. Bodies and wrapped keys are not read.
extension Reader {
    /// A user's invites, oldest first.
    package func invites(of user: UserRow, after invite: InviteID?, limit: Int) throws -> [InviteRow] {
        try rows(
            "SELECT invite_id, state, expires_ms FROM invites WHERE user_id = ? AND invite_id > ? ORDER BY invite_id LIMIT ?",
            bind: {
                $0.bind(1, user.id.rawValue)
                $0.bind(2, invite?.rawValue ?? 0)
                $0.bind(3, limit)
            }
        ) { row in
            InviteRow(
                id: InviteID(row.unsigned(0)), user: user.id, userName: user.name, expires: Timestamp(milliseconds: row.integer(2)),
                state: InviteRow.State(rawValue: row.integer(1)) ?? .revoked)
        }
    }

    /// A user's contacts in the order of the others' identifiers, as far as the user was ever told of them.
    package func exportedContacts(of user: UserID, after peer: UserID?, limit: Int) throws -> [ExportedContactRow] {
        try snapshot {
            let policy = try contactPolicy()
            return try rows(
                """
                SELECT c.peer_id, u.name, c.relation, c.blocks, c.is_blocked, c.category, c.version
                FROM contacts c LEFT JOIN users u ON u.user_id = c.peer_id
                WHERE c.user_id = ? AND c.peer_id > ? AND c.version > 0 ORDER BY c.peer_id LIMIT ?
                """,
                bind: {
                    $0.bind(1, user.rawValue)
                    $0.bind(2, peer?.rawValue ?? 0)
                    $0.bind(3, limit)
                }
            ) { row in
                ExportedContactRow(
                    contact: ContactRow(
                        peer: UserID(row.unsigned(0)), state: Reader.edge(row, from: 2).view(tellsBlocked: policy.tellsBlocked),
                        category: row.text(5) ?? "", version: row.unsigned(6)), peerName: row.text(1).map { UserName(checked: $0) })
            }
        }
    }

    /// Every stay of a user in a chat, ended ones included, in the order of chats and beginnings.
    ///
    /// - Parameter place: the chat and the first sequence of the stay that the page before ended with.
    package func stays(of user: UserID, after place: ChatPosition?, limit: Int) throws -> [StayRow] {
        try rows(
            """
            SELECT s.chat_id, c.kind, c.user_low, c.user_high, s.role, c.member_count, s.joined_seq, s.joined_id, s.left_seq, s.left_id
            FROM members s JOIN chats c USING (chat_id) WHERE s.user_id = ? AND (s.chat_id, s.joined_seq) > (?, ?)
            ORDER BY s.chat_id, s.joined_seq LIMIT ?
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, place?.chat.rawValue ?? 0)
                $0.bind(3, place?.seq ?? 0)
                $0.bind(4, limit)
            }
        ) { row in
            let kind = ChatKind(rawValue: UInt8(truncatingIfNeeded: row.integer(1))) ?? .direct
            let others = [UserID(row.unsigned(2)), UserID(row.unsigned(3))].filter { $0 != user }
            return StayRow(
                chat: ChatID(row.unsigned(0)), kind: kind, peer: kind == .direct ? others.first : nil,
                role: GroupRole(rawValue: UInt8(truncatingIfNeeded: row.integer(4))) ?? .member, memberCount: Int(row.integer(5)),
                joinedSeq: row.unsigned(6), joinedAt: Stamp(rawValue: row.unsigned(7)).time, leftSeq: row.isNull(8) ? nil : row.unsigned(8),
                leftAt: row.isNull(9) ? nil : Stamp(rawValue: row.unsigned(9)).time)
        }
    }

    /// A user's own receipts, in the order of the chats.
    package func ownReceipts(of user: UserID, after chat: ChatID?, limit: Int) throws -> [ReceiptRow] {
        try rows(
            """
            SELECT DISTINCT r.chat_id, r.delivered_seq, r.read_seq, r.version
            FROM members s JOIN receipts r ON r.chat_id = s.chat_id AND r.user_id = s.user_id
            WHERE s.user_id = ? AND s.chat_id > ? ORDER BY r.chat_id LIMIT ?
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, chat?.rawValue ?? 0)
                $0.bind(3, limit)
            }
        ) { ReceiptRow(chat: ChatID($0.unsigned(0)), user: user, deliveredSeq: $0.unsigned(1), readSeq: $0.unsigned(2), version: $0.unsigned(3)) }
    }

    /// What is known of the messages that a user sent or received, in the order of chats and sequences.
    ///
    /// - Parameter chats: looks for them in no more stays in chats than this.
    package func messageRows(
        of user: UserID, after place: ChatPosition?, limit: Int, chats: Int = Limits.exportPageChats
    ) throws -> MessageRowsPage {
        try snapshot {
            let forever = UInt64(Int64.max)
            let stays: [(chat: ChatID, first: UInt64, last: UInt64)] = try rows(
                """
                SELECT chat_id, joined_seq, coalesce(left_seq, ?4) FROM members
                WHERE user_id = ?1 AND (chat_id > ?2 OR (chat_id = ?2 AND coalesce(left_seq, ?4) > ?3)) ORDER BY chat_id, joined_seq LIMIT ?5
                """,
                bind: {
                    $0.bind(1, user.rawValue)
                    $0.bind(2, place?.chat.rawValue ?? 0)
                    $0.bind(3, place?.seq ?? 0)
                    $0.bind(4, forever)
                    $0.bind(5, chats)
                }
            ) { (ChatID($0.unsigned(0)), $0.unsigned(1), $0.unsigned(2)) }
            var page = MessageRowsPage(rows: [], next: nil)
            for stay in stays {
                let first = place.map { $0.chat == stay.chat ? max(stay.first, $0.seq + 1) : stay.first } ?? stay.first
                page.rows += try messageRows(in: stay.chat, first, stay.last, for: user, limit: limit - page.rows.count)
                if page.rows.count == limit {
                    page.next = page.rows.last.map { ChatPosition(chat: $0.chat, seq: $0.seq) }
                    return page
                }
                page.next = ChatPosition(chat: stay.chat, seq: stay.last)
            }
            if stays.count < chats { page.next = nil }
            return page
        }
    }

    private func messageRows(in chat: ChatID, _ first: UInt64, _ last: UInt64, for user: UserID, limit: Int) throws -> [MessageRow] {
        try rows(
            """
            SELECT m.message_id, m.seq, m.kind, m.user_id, m.device_id, m.client_message_id, length(m.body), h.seq IS NOT NULL
            FROM messages m LEFT JOIN hidden h ON h.user_id = ?4 AND h.chat_id = m.chat_id AND h.seq = m.seq
            WHERE m.chat_id = ?1 AND m.seq BETWEEN ?2 AND ?3 ORDER BY m.seq LIMIT ?5
            """,
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, first)
                $0.bind(3, last)
                $0.bind(4, user.rawValue)
                $0.bind(5, limit)
            }
        ) { row in
            let kind: MessageRow.Kind =
                switch ExtraBytes.Kind(rawValue: row.integer(2)) {
                case .group: .change
                case .deletion: .deletion
                case .deleted: .deleted
                case .message, nil: .message
                }
            return MessageRow(
                message: MessageID(row.unsigned(0)), chat: chat, seq: row.unsigned(1), kind: kind, senderUser: UserID(row.unsigned(3)),
                senderDevice: DeviceID(row.unsigned(4)), clientMessageID: row.unsigned(5), bytes: Int(row.integer(6)), hidden: row.integer(7) != 0)
        }
    }

    /// The audit log's entries about a user, their devices and invites, oldest first. A name becomes free when its user is removed: entries from
    /// before the user was added are about somebody else.
    package func audit(about user: UserRow, after stamp: UInt64, limit: Int) throws -> [(stamp: UInt64, row: AuditRow)] {
        try rows(
            """
            SELECT \(Self.auditColumns) FROM audit WHERE stamp > ?3 AND stamp >= ?1 AND CASE
                WHEN operation LIKE 'device/%' OR operation LIKE 'key/%' THEN subject IN (SELECT CAST(device_id AS TEXT) FROM devices WHERE user_id = ?1)
                WHEN operation = 'invite/revoke' THEN subject IN (SELECT CAST(invite_id AS TEXT) FROM invites WHERE user_id = ?1)
                -- An entry about two users names both, with a space between.
                ELSE instr(' ' || subject || ' ', ' ' || ?2 || ' ') > 0 END
            ORDER BY stamp LIMIT ?4
            """,
            bind: {
                $0.bind(1, user.id.rawValue)
                $0.bind(2, user.name.text)
                $0.bind(3, stamp)
                $0.bind(4, limit)
            }
        ) { ($0.unsigned(0), Reader.auditRow($0)) }
    }
}
