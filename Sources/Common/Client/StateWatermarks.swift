import RelayModel
import RelaySQLite

/// How far messages got: receipts, reads, the stage of each own message.
extension ClientState {
    /// Monotone: a lower value than the stored one changes nothing.
    func storeReceipt(chat: ChatID, user: UserID, delivered: UInt64, read: UInt64, version: UInt64) throws {
        try run(
            """
            INSERT INTO receipts VALUES (?1, ?2, ?3, ?4) ON CONFLICT (chat_id, user_id)
            DO UPDATE SET delivered_seq = max(delivered_seq, ?3), read_seq = max(read_seq, ?4)
            """
        ) {
            $0.bind(1, chat.rawValue)
            $0.bind(2, user.rawValue)
            $0.bind(3, max(delivered, read))
            $0.bind(4, read)
        }
        try run("UPDATE account SET receipts_version = ?1 WHERE one = 1 AND receipts_version < ?1") { $0.bind(1, version) }
    }

    package func watermarks(in chat: ChatID, of user: UserID) throws(ClientError) -> Watermarks {
        try storing {
            try rows(
                "SELECT delivered_seq, read_seq FROM receipts WHERE chat_id = ? AND user_id = ?",
                {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, user.rawValue)
                }
            ) { Watermarks(delivered: $0.unsigned(0), read: $0.unsigned(1)) }.first ?? Watermarks(delivered: 0, read: 0)
        }
    }

    /// The person has read the chat up to here.
    func storeRead(_ chat: ChatID, _ seq: UInt64) throws {
        try run("INSERT INTO reads VALUES (?1, ?2) ON CONFLICT (chat_id) DO UPDATE SET seq = max(seq, ?2)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
        }
    }

    /// What the person has read and the relay's receipts do not say yet.
    func unconfirmedReads(of user: UserID) throws -> [(chat: ChatID, seq: UInt64)] {
        try rows(
            """
            SELECT r.chat_id, r.seq FROM reads r LEFT JOIN receipts w ON w.chat_id = r.chat_id AND w.user_id = ?
            WHERE w.read_seq IS NULL OR w.read_seq < r.seq
            """, { $0.bind(1, user.rawValue) }
        ) { (ChatID($0.unsigned(0)), $0.unsigned(1)) }
    }

    /// Where an own message is; nil when there never was one of that number.
    package func stage(of id: Int64) throws(ClientError) -> SendStage? {
        try storing {
            if try outboxEntry(id) != nil { return .queued }
            let place = try rows("SELECT chat_id, chat_seq FROM history WHERE outbox_id = ?", { $0.bind(1, id) }) {
                (ChatID($0.unsigned(0)), $0.unsigned(1))
            }.first
            if let (chat, seq) = place {
                let marks =
                    try rows(
                        "SELECT max(delivered_seq), max(read_seq) FROM receipts WHERE chat_id = ? AND user_id IS NOT (SELECT user_id FROM account)",
                        { $0.bind(1, chat.rawValue) }
                    ) { ($0.unsigned(0), $0.unsigned(1)) }.first ?? (0, 0)
                return seq <= marks.1 ? .read : seq <= marks.0 ? .delivered : .sent
            }
            return try rows("SELECT 1 FROM dead_letters WHERE id = ?", { $0.bind(1, id) }) { _ in SendStage.dead }.first
        }
    }

    /// Every chat, with what this device sent in it and how far that got.
    package func chats() throws(ClientError) -> [ChatSummary] {
        try storing {
            try rows(
                """
                WITH me AS (SELECT user_id, device_id FROM account),
                marks AS (SELECT chat_id, max(delivered_seq) AS delivered, max(read_seq) AS read FROM receipts
                          WHERE user_id IS NOT (SELECT user_id FROM me) GROUP BY chat_id)
                SELECT c.id,
                    (SELECT u.name FROM members m JOIN users u ON u.id = m.user_id WHERE m.chat_id = c.id AND m.user_id IS NOT (SELECT user_id FROM me) LIMIT 1),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.sender_device = (SELECT device_id FROM me)),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.sender_device = (SELECT device_id FROM me) AND h.chat_seq <= ifnull(k.delivered, 0)),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.sender_device = (SELECT device_id FROM me) AND h.chat_seq <= ifnull(k.read, 0)),
                    ifnull(k.delivered, 0), ifnull(k.read, 0), ifnull((SELECT max(chat_seq) FROM history h WHERE h.chat_id = c.id), 0),
                    ifnull((SELECT sum(last - first + 1) FROM gaps g WHERE g.chat_id = c.id), 0)
                FROM chats c LEFT JOIN marks k ON k.chat_id = c.id ORDER BY c.id
                """
            ) {
                ChatSummary(
                    chat: ChatID($0.unsigned(0)), with: $0.text(1), messages: Int($0.integer(2)), sent: Int($0.integer(3)),
                    delivered: Int($0.integer(4)),
                    read: Int($0.integer(5)), deliveredSeq: $0.unsigned(6), readSeq: $0.unsigned(7), lastSeq: $0.unsigned(8),
                    missing: Int($0.integer(9)))
            }
        }
    }
}
