import RelayModel
import RelaySQLite

// Chats, their members, receipts, and what became of messages.
extension Reader {
    /// The chat as `user` sees it; nil when the user never was in it.
    package func chat(_ chat: ChatID, for user: UserID) throws -> ChatRow? {
        try snapshot {
            guard let stay = try stays(of: user, in: chat).last else { return nil }
            let last = try rows(
                "SELECT seq FROM messages WHERE chat_id = ? AND seq <= ? ORDER BY seq DESC LIMIT 1",
                bind: {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, stay.leftSeq)
                }
            ) { $0.unsigned(0) }.first
            return ChatRow(
                chat: chat, kind: stay.kind, members: stay.isActive ? try members(of: chat) : [], lastSeq: last ?? min(stay.floorSeq, stay.leftSeq),
                joinedSeq: stay.joinedSeq, leftSeq: stay.isActive ? 0 : stay.leftSeq)
        }
    }

    /// Is it, or was it once.
    package func wasMember(_ user: UserID, of chat: ChatID) throws -> Bool { try !stays(of: user, in: chat).isEmpty }

    /// Those who are in the chat now, in the order of their identifiers.
    private func members(of chat: ChatID) throws -> [ChatMember] {
        try rows("SELECT user_id, role FROM members WHERE chat_id = ? AND left_seq IS NULL ORDER BY user_id", bind: { $0.bind(1, chat.rawValue) }) {
            ChatMember(user: UserID($0.unsigned(0)), role: GroupRole(rawValue: UInt8(truncatingIfNeeded: $0.integer(1))) ?? .member)
        }
    }

    /// A page of a user's chats but the notes, newest message first, with that message.
    /// - Parameters:
    ///   - since: only those with a message after this time.
    ///   - before: only those that come behind this place (``ConversationRow/order``).
    package func conversations(
        of user: UserID, since: Timestamp?, before: UInt64, limit: Int
    ) throws -> (rows: [ConversationRow], more: Bool) {
        try snapshot {
            let stays = Dictionary(grouping: try allStays(of: user).filter { $0.kind != .notes }, by: \.chat)
            // Where each chat stands in the list is in an index; what there is to be read of it is read for the page only.
            let places = try stays.compactMap { chat, stays -> (order: UInt64, stays: [Stay])? in
                let stays = stays.sorted { $0.joinedSeq < $1.joinedSeq }
                var newest: UInt64?
                for stay in stays.reversed() where newest == nil { newest = try newestPlace(stay) }
                if let since, (newest.map { MessageID($0).time } ?? since) <= since { return nil }
                let order = newest ?? chat.rawValue
                return order < before ? (order, stays) : nil
            }.sorted { $0.order > $1.order }
            let rows = try places.prefix(limit).compactMap { _, stays in
                try stays.last.map { stay in
                    ConversationRow(
                        chat: stay.chat, kind: stay.kind,
                        members: stay.isActive && stay.memberCount <= Limits.receiptMembers ? try members(of: stay.chat).map(\.user) : [],
                        memberCount: stay.isActive ? stay.memberCount : 0,
                        last: try page(of: stays, for: user, .before(UInt64(Int64.max)), limit: 1, bytes: 1).rows.first,
                        readSeq: try receipt(of: user, in: stay.chat)?.readSeq ?? 0, active: stay.isActive)
                }
            }
            return (rows, places.count > limit)
        }
    }

    /// Envelopes in a user's mailbox behind a cursor.
    package func pending(for user: UserID, behind cursor: UInt64) throws -> Int {
        try snapshot { try counts(of: user, behind: cursor).reduce(0, +) }
    }

    // MARK: Receipts

    private static func receipt(_ row: Statement) -> ReceiptRow {
        ReceiptRow(
            chat: ChatID(row.unsigned(0)), user: UserID(row.unsigned(1)), deliveredSeq: row.unsigned(2), readSeq: row.unsigned(3),
            version: row.unsigned(4))
    }

    private func receipt(of user: UserID, in chat: ChatID) throws -> ReceiptRow? {
        try rows(
            "SELECT chat_id, user_id, delivered_seq, read_seq, version FROM receipts WHERE chat_id = ? AND user_id = ?",
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, user.rawValue)
            }, Reader.receipt
        ).first
    }

    /// The receipts in a user's direct chats, and the user's own in groups, that changed after `version`, oldest change first, in whole versions:
    /// one acknowledgement moves receipts in several chats under one version, and a page that ended between them would lose the rest.
    ///
    /// - Parameter limit: about so many rows; at least twice ``Limits/unacknowledgedEnvelopes``, which bounds a version's.
    package func receipts(for user: UserID, after version: UInt64, limit: Int) throws -> (rows: [ReceiptRow], more: Bool) {
        let found: [ReceiptRow] = try rows(
            """
            SELECT r.chat_id, r.user_id, r.delivered_seq, r.read_seq, r.version
            FROM members s JOIN chats c USING (chat_id) JOIN receipts r ON r.chat_id = s.chat_id
            WHERE s.user_id = ?1 AND s.left_seq IS NULL AND c.kind = 0 AND r.version > ?2
            UNION ALL
            SELECT r.chat_id, r.user_id, r.delivered_seq, r.read_seq, r.version
            FROM members s JOIN chats c USING (chat_id) JOIN receipts r ON r.chat_id = s.chat_id AND r.user_id = s.user_id
            WHERE s.user_id = ?1 AND s.left_seq IS NULL AND c.kind = 1 AND r.version > ?2
            ORDER BY 5 LIMIT ?3
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, version)
                $0.bind(3, limit)
            }, Reader.receipt)
        guard found.count == limit, let cut = found.last?.version else { return (found, false) }
        return (found.filter { $0.version < cut }, true)
    }

    /// Of all members that have any, at most ``Limits/chatMembers``.
    package func receipts(of chat: ChatID) throws -> [ReceiptRow] {
        try rows(
            """
            SELECT r.chat_id, r.user_id, r.delivered_seq, r.read_seq, r.version
            FROM receipts r JOIN members s ON s.chat_id = r.chat_id AND s.user_id = r.user_id AND s.left_seq IS NULL
            WHERE r.chat_id = ? ORDER BY r.user_id
            """,
            bind: { $0.bind(1, chat.rawValue) }, Reader.receipt)
    }

    // MARK: What became of a message

    /// How far a message got that ``firstAnswer(to:)`` found.
    package func status(of sent: SentOutcome, deleted: Bool, by user: UserID) throws -> MessageStatusRow {
        try snapshot {
            let chat = sent.chat
            // How far the members are is not for somebody who is none any more.
            guard let stay = try stays(of: user, in: chat).last, stay.isActive else { throw Rejection.chatUnknown }
            let single = stay.kind == .direct || stay.memberCount <= Limits.receiptMembers
            let others = try self.others(than: user, in: chat, at: sent.chatSeq)
            let counts = try single ? nil : count(others: user, of: chat, sent)
            let receipts = single ? try otherReceipts(others, of: chat) : []
            return MessageStatusRow(
                sent: sent, receipts: receipts, recipients: others.count,
                delivered: counts?.delivered ?? receipts.count { $0.deliveredSeq >= sent.chatSeq },
                read: counts?.read ?? receipts.count { $0.readSeq >= sent.chatSeq }, deleted: deleted)
        }
    }

    private func others(than user: UserID, in chat: ChatID, at seq: UInt64) throws -> [UserID] {
        try rows(
            "SELECT user_id FROM members WHERE chat_id = ? AND left_seq IS NULL AND joined_seq <= ? AND user_id <> ? ORDER BY user_id",
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                $0.bind(3, user.rawValue)
            }
        ) { UserID($0.unsigned(0)) }
    }

    private func otherReceipts(_ others: [UserID], of chat: ChatID) throws -> [ReceiptRow] {
        let known = Dictionary(try receipts(of: chat).map { ($0.user, $0) }, uniquingKeysWith: { first, _ in first })
        return others.map { known[$0] ?? ReceiptRow(chat: chat, user: $0, deliveredSeq: 0, readSeq: 0, version: 0) }
    }

    /// In a large group deliveries are not kept one by one: a member has what is behind the cursor of any of their devices.
    private func count(others user: UserID, of chat: ChatID, _ sent: SentOutcome) throws -> (delivered: Int, read: Int)? {
        try rows(
            """
            SELECT count(*) FILTER (WHERE EXISTS (
                    SELECT 1 FROM devices d JOIN progress p USING (device_id)
                    WHERE d.user_id = s.user_id AND d.revoked = 0 AND p.mailbox_seq >= ?3)),
                count(*) FILTER (WHERE EXISTS (
                    SELECT 1 FROM receipts r WHERE r.chat_id = s.chat_id AND r.user_id = s.user_id AND r.read_seq >= ?2))
            FROM members s WHERE s.chat_id = ?1 AND s.left_seq IS NULL AND s.joined_seq <= ?2 AND s.user_id <> ?4
            """,
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, sent.chatSeq)
                $0.bind(3, sent.message.rawValue)
                $0.bind(4, user.rawValue)
            }
        ) { (Int($0.integer(0)), Int($0.integer(1))) }.first
    }
}
