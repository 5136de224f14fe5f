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

    /// The lowest marks of the other members: of those who were there at `seq`. A mark that is not known is 0.
    func lowestMarks(in chat: ChatID, at seq: UInt64) throws -> Watermarks {
        try rows(
            """
            SELECT ifnull(min(ifnull(r.delivered_seq, 0)), 0), ifnull(min(ifnull(r.read_seq, 0)), 0)
            FROM members m LEFT JOIN receipts r ON r.chat_id = m.chat_id AND r.user_id = m.user_id
            WHERE m.chat_id = ? AND m.user_id IS NOT (SELECT user_id FROM account) AND m.joined_seq <= ?
            """,
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { Watermarks(delivered: $0.unsigned(0), read: $0.unsigned(1)) }.first ?? Watermarks(delivered: 0, read: 0)
    }

    /// Where the relay put something that this device sent; nil while it is not there, and for what was deleted for this user only.
    package func place(of id: Int64) throws(ClientError) -> (chat: ChatID, seq: UInt64)? {
        try storing {
            try rows("SELECT chat_id, chat_seq FROM history WHERE outbox_id = ?", { $0.bind(1, id) }) { (ChatID($0.unsigned(0)), $0.unsigned(1)) }
                .first
        }
    }

    /// Where an own message, change or deletion is; nil when there never was one of that number.
    package func stage(of id: Int64) throws(ClientError) -> SendStage? {
        if let (chat, seq) = try place(of: id) {
            let marks = try storing { try lowestMarks(in: chat, at: seq) }
            return seq <= marks.read ? .read : seq <= marks.delivered ? .delivered : .sent
        }
        return try storing {
            if try outboxEntry(id) != nil { return .queued }
            if try !rows("SELECT 1 FROM dead_letters WHERE id = ?", { $0.bind(1, id) }, { _ in true }).isEmpty { return .dead }
            // A deletion for this user only leaves no place of its own, and none at all when what it names was deleted before. The outbox gives no
            // number twice, and what has left it was sent or is dead.
            return try rows("SELECT 1 FROM sqlite_sequence WHERE name = 'outbox' AND seq >= ?", { $0.bind(1, id) }) { _ in SendStage.sent }.first
        }
    }

    /// The number under which this device sent the message at a place; nil when it did not.
    package func clientMessageID(in chat: ChatID, at seq: UInt64) throws(ClientError) -> UInt64? {
        try storing {
            try rows(
                "SELECT client_message_id FROM history WHERE chat_id = ? AND chat_seq = ? AND sender_device = (SELECT device_id FROM account)",
                {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, seq)
                }
            ) { $0.unsigned(0) }.first
        }
    }

    /// Every chat, with what this device sent in it and how far that got.
    package func chats() throws(ClientError) -> [ChatSummary] {
        try storing {
            try rows(
                """
                WITH me AS (SELECT user_id, device_id FROM account),
                marks AS (SELECT m.chat_id, min(ifnull(r.delivered_seq, 0)) AS delivered, min(ifnull(r.read_seq, 0)) AS read
                          FROM members m LEFT JOIN receipts r ON r.chat_id = m.chat_id AND r.user_id = m.user_id
                          WHERE m.user_id IS NOT (SELECT user_id FROM me) GROUP BY m.chat_id)
                SELECT c.id, \(ClientState.chatLabel), c.kind,
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.kind = 0 AND h.hidden = 0),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.kind = 0 AND h.sender_device = (SELECT device_id FROM me)),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.kind = 0 AND h.sender_device = (SELECT device_id FROM me)
                        AND h.chat_seq <= ifnull(k.delivered, 0)),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.kind = 0 AND h.sender_device = (SELECT device_id FROM me)
                        AND h.chat_seq <= ifnull(k.read, 0)),
                    ifnull(k.delivered, 0), ifnull(k.read, 0), ifnull((SELECT max(chat_seq) FROM history h WHERE h.chat_id = c.id), 0),
                    ifnull((SELECT sum(last - first + 1) FROM gaps g WHERE g.chat_id = c.id AND g.gone = 0), 0)
                FROM chats c LEFT JOIN marks k ON k.chat_id = c.id WHERE c.kind <> 2 ORDER BY c.id
                """
            ) {
                ChatSummary(
                    chat: ChatID($0.unsigned(0)), with: $0.text(1), kind: ChatKind(rawValue: UInt8(clamping: $0.integer(2))) ?? .direct,
                    messages: Int($0.integer(3)), sent: Int($0.integer(4)), delivered: Int($0.integer(5)), read: Int($0.integer(6)),
                    deliveredSeq: $0.unsigned(7), readSeq: $0.unsigned(8), lastSeq: $0.unsigned(9), missing: Int($0.integer(10)))
            }
        }
    }
}
