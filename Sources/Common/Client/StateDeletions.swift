import RelayModel
import RelaySQLite

/// Deleted messages, and what the relay announced without sending it.
extension ClientState {
    // MARK: Deletions

    /// The messages lose their content here; their places stay, so that receipts and the order stay true. One that has not come yet is remembered and
    /// loses its content when it comes. SQLite overwrites what it deletes (`secure_delete`).
    func applyDeletion(_ chat: ChatID, _ seqs: [UInt64], forEveryone: Bool) throws {
        for seq in seqs {
            try run(
                """
                INSERT INTO deletions (chat_id, chat_seq, everyone) VALUES (?1, ?2, ?3)
                ON CONFLICT (chat_id, chat_seq) DO UPDATE SET everyone = max(everyone, ?3)
                """
            ) {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                $0.bind(3, forEveryone ? 1 : 0)
            }
            let kind = HistoryRow.number(.deleted(forEveryone: forEveryone))
            try run(
                """
                UPDATE history SET text = NULL, problem = NULL, event = NULL, key = NULL, kind = CASE kind WHEN 3 THEN 3 ELSE ?3 END
                WHERE chat_id = ?1 AND chat_seq = ?2 AND kind IN (0, 3, 4)
                """
            ) {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                $0.bind(3, kind)
            }
            try dropGivenKey(chat, seq)
        }
    }

    /// Whether the message at a place was deleted; then, whether for everyone.
    func deletion(_ chat: ChatID, _ seq: UInt64) throws -> Bool? {
        try rows(
            "SELECT everyone FROM deletions WHERE chat_id = ? AND chat_seq = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { $0.integer(0) != 0 }.first
    }

    // MARK: Announcements

    /// There is something in the chat up to `seq` that must be fetched. Kept until it was.
    func announce(_ chat: ChatID, _ seq: UInt64) throws {
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, chat.rawValue) }
        try run("UPDATE chats SET announced_seq = max(announced_seq, ?2) WHERE id = ?1") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
        }
    }

    /// Everything up to `seq` was fetched, or is not there.
    func fetched(_ chat: ChatID, upTo seq: UInt64) throws {
        try run("UPDATE chats SET announced_seq = 0 WHERE id = ?1 AND announced_seq <= ?2") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
        }
    }

    /// Chats with something to fetch, and up to where.
    func announced() throws -> [ChatID: UInt64] {
        Dictionary(
            try rows("SELECT id, announced_seq FROM chats WHERE announced_seq > 0") { (ChatID($0.unsigned(0)), $0.unsigned(1)) },
            uniquingKeysWith: max)
    }

    /// Groups in which somebody may have got or read this device's newest message since: their receipts are pushed only while it is connected.
    func groupsWithOpenReceipts(limit: Int) throws -> [ChatID] {
        let groups = try rows(
            """
            SELECT c.id, (SELECT h.chat_seq FROM history h WHERE h.chat_id = c.id AND h.kind = 0 AND h.sender_device = (SELECT device_id FROM account)
                          ORDER BY h.chat_seq DESC LIMIT 1)
            FROM chats c WHERE c.kind = 1 AND c.left_seq = 0 AND (SELECT count(*) FROM members m WHERE m.chat_id = c.id) <= ?1
            ORDER BY c.highest_seq DESC
            """,
            { $0.bind(1, Limits.receiptMembers) }
        ) { (ChatID($0.unsigned(0)), $0.unsigned(1)) }
        var open: [ChatID] = []
        for (chat, last) in groups where last > 0 && open.count < limit {
            if try lowestMarks(in: chat, at: last).read < last { open.append(chat) }
        }
        return open
    }
}
