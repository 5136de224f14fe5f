import RelayModel
import RelaySQLite

/// Every message sent and received, and the gaps between them.
extension ClientState {
    enum Stored: Equatable { case new, duplicate }

    /// Stores a received envelope and checks its order. Moves the cursor.
    func storeReceived(_ entry: HistoryEntry, mailboxSeq: UInt64) throws -> Stored {
        let known = try !rows(
            "SELECT 1 FROM history WHERE chat_id = ? AND chat_seq = ?",
            {
                $0.bind(1, entry.chat.rawValue); $0.bind(2, entry.chatSeq)
            }
        ) { _ in true }.isEmpty
        try setCursor(mailboxSeq)
        guard !known else { return .duplicate }
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, entry.chat.rawValue) }
        let highest = try rows("SELECT highest_seq FROM chats WHERE id = ?", { $0.bind(1, entry.chat.rawValue) }) { $0.unsigned(0) }.first ?? 0
        var order = ChatOrder(highest: highest)
        switch order.received(entry.chatSeq) {
        case .inOrder: break
        case .gap(let gap): try storeGap(entry.chat, gap)
        case .late:
            try run("UPDATE account SET late_arrivals = late_arrivals + 1 WHERE one = 1")
            try fillGap(entry.chat, entry.chatSeq)
        }
        try run("UPDATE chats SET highest_seq = ? WHERE id = ?") {
            $0.bind(1, order.highest)
            $0.bind(2, entry.chat.rawValue)
        }
        try insertHistory(entry)
        return .new
    }

    func insertHistory(_ entry: HistoryEntry) throws {
        try run("INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)") {
            $0.bind(1, entry.chat.rawValue)
            $0.bind(2, entry.chatSeq)
            $0.bind(3, entry.message.rawValue)
            $0.bind(4, entry.senderUser.rawValue)
            $0.bind(5, entry.senderDevice.rawValue)
            $0.bind(6, entry.clientMessageID)
            $0.bind(7, entry.sentAt.milliseconds)
            if let written = entry.writtenAt { $0.bind(8, written.milliseconds) } else { $0.bindNull(8) }
            $0.bind(9, entry.text)
            $0.bind(10, entry.problem)
            if let outbox = entry.outboxID { $0.bind(11, outbox) } else { $0.bindNull(11) }
        }
    }

    private func storeGap(_ chat: ChatID, _ gap: ClosedRange<UInt64>) throws {
        let filled = try rows(
            "SELECT chat_seq FROM history WHERE chat_id = ? AND chat_seq BETWEEN ? AND ? ORDER BY chat_seq",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, gap.lowerBound)
                $0.bind(3, gap.upperBound)
            }
        ) { $0.unsigned(0) }
        var left = [gap]
        for seq in filled { left = left.dropLast() + (left.last.map { ChatOrder.filling(seq, in: $0) } ?? []) }
        for range in left { try insertGap(chat, range) }
    }

    private func insertGap(_ chat: ChatID, _ gap: ClosedRange<UInt64>) throws {
        try run("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, gap.lowerBound)
            $0.bind(3, gap.upperBound)
        }
    }

    func fillGap(_ chat: ChatID, _ seq: UInt64) throws {
        let found = try rows(
            "SELECT first, last FROM gaps WHERE chat_id = ?1 AND first <= ?2 AND last >= ?2",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { ($0.unsigned(0), $0.unsigned(1)) }
        for (first, last) in found where first <= last {
            try run("DELETE FROM gaps WHERE chat_id = ? AND first = ?") {
                $0.bind(1, chat.rawValue)
                $0.bind(2, first)
            }
            for range in ChatOrder.filling(seq, in: first...last) { try insertGap(chat, range) }
        }
    }

    package func gaps(in chat: ChatID) throws(ClientError) -> [ClosedRange<UInt64>] {
        try storing {
            try rows("SELECT first, last FROM gaps WHERE chat_id = ? ORDER BY first", { $0.bind(1, chat.rawValue) }) {
                $0.unsigned(0)...max($0.unsigned(0), $0.unsigned(1))
            }
        }
    }

    /// A chat's messages, or all chats', in the order of the chat; at most `limit`, behind `after`.
    package func history(chat: ChatID? = nil, after: UInt64 = 0, limit: Int = .max) throws(ClientError) -> [HistoryEntry] {
        try storing {
            try rows(
                """
                SELECT h.chat_id, h.chat_seq, h.message_id, h.sender_user, h.sender_device, h.client_message_id, h.sent_at, h.written_at, h.text, h.problem,
                    h.outbox_id, u.name,
                    (SELECT w.name FROM members m JOIN users w ON w.id = m.user_id
                     WHERE m.chat_id = h.chat_id AND m.user_id IS NOT (SELECT user_id FROM account) LIMIT 1)
                FROM history h LEFT JOIN users u ON u.id = h.sender_user
                WHERE (?1 IS NULL OR h.chat_id = ?1) AND h.chat_seq > ?2 ORDER BY h.chat_id, h.chat_seq LIMIT ?3
                """,
                {
                    if let chat { $0.bind(1, chat.rawValue) } else { $0.bindNull(1) }
                    $0.bind(2, after)
                    $0.bind(3, limit)
                },
                { row in
                    HistoryEntry(
                        chat: ChatID(row.unsigned(0)), chatSeq: row.unsigned(1), message: MessageID(row.unsigned(2)),
                        senderUser: UserID(row.unsigned(3)),
                        senderDevice: DeviceID(row.unsigned(4)), clientMessageID: row.unsigned(5), sentAt: Timestamp(milliseconds: row.integer(6)),
                        writtenAt: row.isNull(7) ? nil : Timestamp(milliseconds: row.integer(7)), text: row.text(8), problem: row.text(9),
                        outboxID: row.isNull(10) ? nil : row.integer(10), senderName: row.text(11), with: row.text(12))
                })
        }
    }

    /// Names for an entry that was just received.
    func withNames(_ entry: HistoryEntry, _ account: Account) throws -> HistoryEntry {
        var entry = entry
        entry.senderName = try userName(entry.senderUser)
        entry.with = try rows(
            "SELECT u.name FROM members m JOIN users u ON u.id = m.user_id WHERE m.chat_id = ? AND m.user_id <> ? LIMIT 1",
            {
                $0.bind(1, entry.chat.rawValue)
                $0.bind(2, account.user.rawValue)
            }
        ) { $0.text(0) ?? "" }.first
        return entry
    }
}
