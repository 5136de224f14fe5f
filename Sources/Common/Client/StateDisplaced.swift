import RelayModel
import RelaySQLite

/// When the relay was set back to an older store, it gives places of a chat to other messages than before. What this device has there stays its own.
extension ClientState {
    /// Before something is stored at a place: entries from there on that are older do not belong there any more. Identifiers of messages rise with
    /// their places, so a relay that was never set back gives none that is newer than what stands behind it.
    ///
    /// What they were said to be read or delivered up to is no more than what is in front of the place: the new messages there were read by nobody.
    /// - Returns: how many entries lost their places.
    @discardableResult
    func makeRoom(in chat: ChatID, at seq: UInt64, for message: MessageID) throws -> Int {
        let found = try rows(
            "SELECT message_id FROM history WHERE chat_id = ? AND chat_seq >= ? ORDER BY chat_seq LIMIT 1",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { $0.unsigned(0) }.first
        guard let found, found > 0, found < message.rawValue else { return 0 }
        func atPlaces(_ sql: String) throws {
            try run(sql) {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        }
        try atPlaces(
            """
            INSERT OR REPLACE INTO displaced (\(Self.historyColumns))
                SELECT \(Self.historyColumns) FROM history WHERE chat_id = ?1 AND chat_seq >= ?2
            """)
        try atPlaces("DELETE FROM history WHERE chat_id = ?1 AND chat_seq >= ?2")
        let count = database.changes
        try atPlaces("DELETE FROM gaps WHERE chat_id = ?1 AND first >= ?2")
        try atPlaces("UPDATE gaps SET last = ?2 - 1 WHERE chat_id = ?1 AND last >= ?2")
        try atPlaces("DELETE FROM deletions WHERE chat_id = ?1 AND chat_seq >= ?2")
        try atPlaces("DELETE FROM resend_requests WHERE chat_id = ?1 AND chat_seq >= ?2")
        try atPlaces("DELETE FROM resend_answers WHERE chat_id = ?1 AND chat_seq >= ?2")
        try atPlaces("DELETE FROM given_keys WHERE chat_id = ?1 AND chat_seq >= ?2")
        try atPlaces("UPDATE reads SET seq = ?2 - 1 WHERE chat_id = ?1 AND seq >= ?2")
        try atPlaces("UPDATE receipts SET delivered_seq = min(delivered_seq, ?2 - 1), read_seq = min(read_seq, ?2 - 1) WHERE chat_id = ?1")
        try atPlaces(
            """
            UPDATE chats SET highest_seq = min(highest_seq, ?2 - 1), announced_seq = min(announced_seq, ?2 - 1),
                members_seq = min(members_seq, ?2 - 1) WHERE id = ?1
            """)
        return count
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
