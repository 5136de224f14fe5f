import RelayModel
import RelaySQLite

/// Every message sent and received, and the gaps between them.
extension ClientState {
    enum Stored: Equatable { case new, duplicate }

    /// Stores what the relay gave at a place of a chat, and checks the order.
    /// - Parameter mailboxSeq: where it stood in the stream, which moves the cursor; nil for what was fetched.
    func storeReceived(_ entry: HistoryEntry, mailboxSeq: UInt64?) throws -> Stored {
        var entry = entry
        let known = try placeIsKnown(entry.chat, entry.chatSeq)
        if let mailboxSeq { try setCursor(mailboxSeq) }
        if known {
            // What was deleted while the device was away stands in its old place without its content.
            if case .deleted(let forEveryone) = entry.kind { try applyDeletion(entry.chat, [entry.chatSeq], forEveryone: forEveryone) }
            // A fetched page holds own messages as well, so what it passes is complete; in the stream own messages are missing.
            if mailboxSeq == nil { try advance(entry.chat, to: entry.chatSeq, countLate: false) }
            return .duplicate
        }
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, entry.chat.rawValue) }
        try advance(entry.chat, to: entry.chatSeq, countLate: true)
        if let deletion = try deletion(entry.chat, entry.chatSeq) {
            entry.kind = .deleted(forEveryone: deletion)
            entry.text = nil
            entry.problem = nil
            entry.contentKey = nil
        }
        let isRepeated = try takeDisplaced(entry)
        try insertHistory(entry)
        return isRepeated ? .duplicate : .new
    }

    /// A gap marker of the relay.
    func storeGone(_ chat: ChatID, upTo seq: UInt64, mailboxSeq: UInt64?) throws {
        if let mailboxSeq { try setCursor(mailboxSeq) }
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, chat.rawValue) }
        let joined = try rows("SELECT joined_seq FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.unsigned(0) }.first ?? 0
        // What never came up to here will not come any more.
        for gap in try storedGaps(chat) where gap.places.lowerBound <= seq && !gap.gone {
            try run("DELETE FROM gaps WHERE chat_id = ? AND first = ?") {
                $0.bind(1, chat.rawValue)
                $0.bind(2, gap.places.lowerBound)
            }
            try insertGap(chat, gap.places.lowerBound...min(gap.places.upperBound, seq), gone: true)
            if gap.places.upperBound > seq { try insertGap(chat, (seq + 1)...gap.places.upperBound, gone: false) }
        }
        var order = ChatOrder(highest: try highest(chat))
        if let places = order.gone(upTo: seq, joined: joined) { try storeGap(chat, places, gone: true) }
        try setHighest(chat, order.highest)
    }

    /// This user's stay begins at `seq`: what was before it is no gap.
    func beginStay(_ chat: ChatID, at seq: UInt64) throws {
        var order = ChatOrder(highest: try highest(chat))
        order.joined(at: seq)
        try setHighest(chat, order.highest)
    }

    func placeIsKnown(_ chat: ChatID, _ seq: UInt64) throws -> Bool {
        try !rows(
            "SELECT 1 FROM history WHERE chat_id = ? AND chat_seq = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { _ in true }.isEmpty
    }

    /// The highest place that the relay gave of a chat.
    func highest(_ chat: ChatID) throws -> UInt64 {
        try rows("SELECT highest_seq FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.unsigned(0) }.first ?? 0
    }

    private func setHighest(_ chat: ChatID, _ seq: UInt64) throws {
        try run("UPDATE chats SET highest_seq = ? WHERE id = ?") {
            $0.bind(1, seq)
            $0.bind(2, chat.rawValue)
        }
    }

    private func advance(_ chat: ChatID, to seq: UInt64, countLate: Bool) throws {
        var order = ChatOrder(highest: try highest(chat))
        switch order.received(seq) {
        case .inOrder: break
        case .gap(let gap): try storeGap(chat, gap, gone: false)
        case .late:
            guard countLate else { return }
            try run("UPDATE account SET late_arrivals = late_arrivals + 1 WHERE one = 1")
            try fillGap(chat, seq)
        }
        try setHighest(chat, order.highest)
    }

    func insertHistory(_ entry: HistoryEntry) throws {
        let event = try HistoryRow.event(entry.kind)
        try run(
            """
            INSERT OR REPLACE INTO history (chat_id, chat_seq, message_id, sender_user, sender_device, client_message_id, sent_at, written_at, text,
                problem, outbox_id, kind, event, hidden, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        ) {
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
            $0.bind(12, HistoryRow.number(entry.kind))
            if let event { $0.bind(13, event) } else { $0.bindNull(13) }
            $0.bind(14, entry.hidden ? 1 : 0)
            if let key = entry.contentKey { $0.bind(15, key) } else { $0.bindNull(15) }
        }
    }

    private func storeGap(_ chat: ChatID, _ gap: ClosedRange<UInt64>, gone: Bool) throws {
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
        for range in left { try insertGap(chat, range, gone: gone) }
    }

    private func insertGap(_ chat: ChatID, _ gap: ClosedRange<UInt64>, gone: Bool) throws {
        try run("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, gap.lowerBound)
            $0.bind(3, gap.upperBound)
            $0.bind(4, gone ? 1 : 0)
        }
    }

    func fillGap(_ chat: ChatID, _ seq: UInt64) throws {
        let found = try rows(
            "SELECT first, last, gone FROM gaps WHERE chat_id = ?1 AND first <= ?2 AND last >= ?2",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { ($0.unsigned(0), $0.unsigned(1), $0.integer(2) != 0) }
        for (first, last, gone) in found where first <= last {
            try run("DELETE FROM gaps WHERE chat_id = ? AND first = ?") {
                $0.bind(1, chat.rawValue)
                $0.bind(2, first)
            }
            for range in ChatOrder.filling(seq, in: first...last) { try insertGap(chat, range, gone: gone) }
        }
    }

    /// The places of a chat that never came and are not known to be gone.
    package func gaps(in chat: ChatID) throws(ClientError) -> [ClosedRange<UInt64>] {
        try gapRecords(chat: chat).filter { !$0.gone }.map(\.places)
    }

    /// The places that are not in the history, of a chat or of all.
    package func gapRecords(chat: ChatID? = nil) throws(ClientError) -> [GapRecord] { try storing { try storedGaps(chat) } }

    func storedGaps(_ chat: ChatID?) throws -> [GapRecord] {
        try rows(
            "SELECT chat_id, first, last, gone FROM gaps WHERE ?1 IS NULL OR chat_id = ?1 ORDER BY chat_id, first",
            { if let chat { $0.bind(1, chat.rawValue) } else { $0.bindNull(1) } }
        ) {
            GapRecord(chat: ChatID($0.unsigned(0)), places: $0.unsigned(1)...max($0.unsigned(1), $0.unsigned(2)), gone: $0.integer(3) != 0)
        }
    }

    /// Who the other member of a direct chat is, or what a group is called; nothing while that is not known.
    static let chatLabel =
        """
        CASE c.kind WHEN 1 THEN c.title ELSE (SELECT w.name FROM members m JOIN users w ON w.id = m.user_id
            WHERE m.chat_id = c.id AND m.user_id IS NOT (SELECT user_id FROM account) LIMIT 1) END
        """

    /// What stands in a chat, or in all chats, in the order of the chat; at most `limit`, behind `after`.
    /// What devices tell each other is left out.
    /// - Parameter hidden: also what blocked senders wrote.
    package func history(
        chat: ChatID? = nil, after: UInt64 = 0, limit: Int = .max, hidden: Bool = false
    ) throws(ClientError) -> [HistoryEntry] {
        try storing {
            let condition = chat == nil ? "?1 IS NULL" : "h.chat_id = ?1"
            let found = try rows(
                """
                SELECT h.chat_id, h.chat_seq, h.message_id, h.sender_user, h.sender_device, h.client_message_id, h.sent_at, h.written_at, h.text, h.problem,
                    h.outbox_id, u.name, \(ClientState.chatLabel), h.kind, h.event, c.kind, h.hidden
                FROM (SELECT \(Self.historyColumns) FROM history UNION ALL SELECT \(Self.historyColumns) FROM displaced) h LEFT JOIN users u ON u.id = h.sender_user LEFT JOIN chats c ON c.id = h.chat_id
                WHERE \(condition) AND h.chat_seq > ?2 AND h.hidden <= ?4 AND h.kind <> \(HistoryRow.technical) ORDER BY h.chat_id, h.message_id, h.chat_seq LIMIT ?3
                """,
                {
                    if let chat { $0.bind(1, chat.rawValue) } else { $0.bindNull(1) }
                    $0.bind(2, after)
                    $0.bind(3, limit)
                    $0.bind(4, hidden ? 1 : 0)
                },
                { row in
                    let kind = HistoryRow.kind(row.integer(13), row.bytes(14))
                    return HistoryEntry(
                        chat: ChatID(row.unsigned(0)), chatSeq: row.unsigned(1), message: MessageID(row.unsigned(2)),
                        senderUser: UserID(row.unsigned(3)),
                        senderDevice: DeviceID(row.unsigned(4)), clientMessageID: row.unsigned(5), sentAt: Timestamp(milliseconds: row.integer(6)),
                        writtenAt: row.isNull(7) ? nil : Timestamp(milliseconds: row.integer(7)), text: kind == nil ? nil : row.text(8),
                        problem: kind == nil ? HistoryEntry.damaged : row.text(9),
                        outboxID: row.isNull(10) ? nil : row.integer(10), senderName: row.text(11), with: row.text(12),
                        kind: kind ?? .message, inGroup: row.integer(15) == Int64(ChatKind.group.rawValue), hidden: row.integer(16) != 0)
                })
            return try found.map { try withUserNames($0) }
        }
    }

    /// Names for an entry that was just received.
    func withNames(_ entry: HistoryEntry, _ account: Account) throws -> HistoryEntry {
        var entry = entry
        entry.senderName = try userName(entry.senderUser)
        if let chat = try rows(
            "SELECT \(ClientState.chatLabel), c.kind FROM chats c WHERE c.id = ?", { $0.bind(1, entry.chat.rawValue) },
            { (with: $0.text(0), inGroup: $0.integer(1) == Int64(ChatKind.group.rawValue)) }
        ).first {
            (entry.with, entry.inGroup) = chat
        }
        return try withUserNames(entry)
    }

    private func withUserNames(_ entry: HistoryEntry) throws -> HistoryEntry {
        guard case .change(var change) = entry.kind else { return entry }
        var entry = entry
        change.names = try change.users.map { try userName($0) ?? $0.description }
        entry.kind = .change(change)
        return entry
    }
}
