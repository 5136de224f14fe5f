import RelayModel
import RelaySQLite

/// When the relay was set back to an older store, it gives places of a chat to other messages than before. What this device has there stays its own.
extension ClientState {
    /// Before something is stored at a place: entries from there on that are older do not belong there any more. Identifiers of messages rise with
    /// their places, so a relay that was never set back gives none that is newer than what stands behind it. What is newer stays.
    ///
    /// What they were said to be read or delivered up to is no more than what is in front of the place: the new messages there were read by nobody.
    /// A stay that ended at one of them goes on: whoever gets a message is a member.
    /// - Returns: how many entries lost their places.
    @discardableResult
    func makeRoom(in chat: ChatID, at seq: UInt64, for message: MessageID) throws -> Int {
        func place(_ condition: String) throws -> (seq: UInt64, message: UInt64)? {
            try rows(
                "SELECT chat_seq, message_id FROM history WHERE chat_id = ?1 AND chat_seq >= ?2 \(condition) ORDER BY chat_seq LIMIT 1",
                {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, seq)
                    if !condition.isEmpty { $0.bind(3, message.rawValue) }
                }
            ) { (seq: $0.unsigned(0), message: $0.unsigned(1)) }.first
        }
        guard let found = try place("")?.message, found > 0, found < message.rawValue else { return 0 }
        // An own message has its place before what others wrote in front of it comes: it is as new, and so is all that is known behind it.
        let end = try place("AND message_id > ?3")?.seq ?? UInt64(Int64.max)
        func atPlaces(_ sql: String) throws {
            try run(sql) {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                $0.bind(3, end)
            }
        }
        try atPlaces(
            """
            INSERT OR REPLACE INTO displaced (\(Self.historyColumns))
                SELECT \(Self.historyColumns) FROM history WHERE chat_id = ?1 AND chat_seq >= ?2 AND chat_seq < ?3
            """)
        try atPlaces("DELETE FROM history WHERE chat_id = ?1 AND chat_seq >= ?2 AND chat_seq < ?3")
        let count = database.changes
        try atPlaces("DELETE FROM gaps WHERE chat_id = ?1 AND first >= ?2 AND first < ?3")
        try atPlaces("UPDATE gaps SET last = ?2 - 1 WHERE chat_id = ?1 AND first < ?2 AND last >= ?2 AND last < ?3")
        for table in ["deletions", "resend_requests", "resend_answers", "given_keys"] {
            try atPlaces("DELETE FROM \(table) WHERE chat_id = ?1 AND chat_seq >= ?2 AND chat_seq < ?3")
        }
        try atPlaces("UPDATE reads SET seq = ?2 - 1 WHERE chat_id = ?1 AND seq >= ?2 AND seq < ?3")
        try atPlaces(
            """
            UPDATE receipts SET delivered_seq = CASE WHEN delivered_seq >= ?2 AND delivered_seq < ?3 THEN ?2 - 1 ELSE delivered_seq END,
                read_seq = CASE WHEN read_seq >= ?2 AND read_seq < ?3 THEN ?2 - 1 ELSE read_seq END WHERE chat_id = ?1
            """)
        try atPlaces(
            """
            UPDATE chats SET highest_seq = min(highest_seq, ?2 - 1), members_seq = min(members_seq, ?2 - 1),
                left_seq = CASE WHEN left_seq >= ?2 AND left_seq < ?3 THEN 0 ELSE left_seq END WHERE id = ?1
            """)
        return count
    }

    /// A place of a chat, and the message that stands there.
    struct KnownPlace: Equatable {
        var seq: UInt64
        var message: MessageID
    }

    /// The last known place of a chat up to `seq`.
    func lastPlace(in chat: ChatID, upTo seq: UInt64) throws -> KnownPlace? {
        try rows(
            "SELECT chat_seq, message_id FROM history WHERE chat_id = ? AND chat_seq <= ? AND message_id > 0 ORDER BY chat_seq DESC LIMIT 1",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { KnownPlace(seq: $0.unsigned(0), message: MessageID($0.unsigned(1))) }.first
    }

    /// A message that the relay has twice: it was given here before the relay was set back, and its sender, who never heard so, sent it again.
    /// The first one gives way; the person has seen it.
    func takeDisplaced(_ entry: HistoryEntry) throws -> Bool {
        guard entry.clientMessageID > 0, entry.senderDevice.rawValue > 0 else { return false }
        try run("DELETE FROM displaced WHERE chat_id = ? AND sender_device = ? AND client_message_id = ?") {
            $0.bind(1, entry.chat.rawValue)
            $0.bind(2, entry.senderDevice.rawValue)
            $0.bind(3, entry.clientMessageID)
        }
        return database.changes > 0
    }

    static let historyColumns =
        """
        chat_id, chat_seq, message_id, sender_user, sender_device, client_message_id, sent_at, written_at, text, problem, outbox_id, kind, event,
        hidden, key
        """
}
