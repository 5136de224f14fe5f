import RelayModel
import RelaySQLite

/// Messages that could not be opened and were asked for again, and those that this device sent again.
extension ClientState {
    // MARK: Asked for

    /// A message that was asked for and has not come.
    struct ResendRequestRecord: Equatable {
        var device: DeviceID
        var clientMessageID: UInt64
    }

    /// Notes that a message is asked for. False when it was asked for before, or when too many of the chat were asked for of late.
    func noteResendRequest(_ chat: ChatID, _ seq: UInt64, _ record: ResendRequestRecord, at now: Timestamp) throws -> Bool {
        guard try resendRequest(chat, seq) == nil else { return false }
        let open =
            try rows(
                "SELECT count(*) FROM resend_requests WHERE chat_id = ? AND asked_at > ?",
                {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, now.milliseconds - Limits.resendWindow.milliseconds)
                }
            ) { Int($0.integer(0)) }.first ?? 0
        guard open < Limits.resendRequests else { return false }
        try run("INSERT INTO resend_requests VALUES (?, ?, ?, ?, ?)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
            $0.bind(3, record.device.rawValue)
            $0.bind(4, record.clientMessageID)
            $0.bind(5, now.milliseconds)
        }
        return true
    }

    func resendRequest(_ chat: ChatID, _ seq: UInt64) throws -> ResendRequestRecord? {
        try rows(
            "SELECT device_id, client_message_id FROM resend_requests WHERE chat_id = ? AND chat_seq = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { ResendRequestRecord(device: DeviceID($0.unsigned(0)), clientMessageID: $0.unsigned(1)) }.first
    }

    private func forgetResendRequest(_ chat: ChatID, _ seq: UInt64) throws {
        try run("DELETE FROM resend_requests WHERE chat_id = ? AND chat_seq = ?") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
        }
    }

    /// The message came once more: its text takes its place. False when there is no unreadable message at this place.
    func recover(_ chat: ChatID, _ seq: UInt64, text: String, writtenAt: Timestamp) throws -> Bool {
        try forgetResendRequest(chat, seq)
        let unreadable = try rows(
            "SELECT 1 FROM history WHERE chat_id = ? AND chat_seq = ? AND kind = 0 AND text IS NULL AND problem IS NOT NULL",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { _ in true }
        guard !unreadable.isEmpty else { return false }
        try run("UPDATE history SET text = ?3, written_at = ?4, problem = NULL WHERE chat_id = ?1 AND chat_seq = ?2") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
            $0.bind(3, text)
            $0.bind(4, writtenAt.milliseconds)
        }
        return true
    }

    /// Why a message cannot be read, and what was done about it.
    func setProblem(_ entry: HistoryEntry) throws {
        try run("UPDATE history SET problem = ?3 WHERE chat_id = ?1 AND chat_seq = ?2 AND kind = 0 AND text IS NULL") {
            $0.bind(1, entry.chat.rawValue)
            $0.bind(2, entry.chatSeq)
            $0.bind(3, entry.problem)
        }
    }

    /// The message will not come.
    func giveUpRecovering(_ chat: ChatID, _ seq: UInt64, because reason: String) throws {
        try forgetResendRequest(chat, seq)
        try run(
            "UPDATE history SET problem = ?3 WHERE chat_id = ?1 AND chat_seq = ?2 AND kind = 0 AND text IS NULL AND problem IS NOT NULL"
        ) {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
            $0.bind(3, "\(HistoryEntry.unopened): \(reason)")
        }
    }

    /// What the device wrote by itself will not be sent.
    func gaveUp(_ command: OutboxCommand, in chat: ChatID?, reason: String) throws {
        guard case .requestResend(let seq, _, _) = command, let chat else { return }
        try giveUpRecovering(chat, seq, because: "it could not be asked for again: \(reason)")
    }

    /// One place of the history; nil when there is none that is shown.
    func entry(_ chat: ChatID, _ seq: UInt64) throws(ClientError) -> HistoryEntry? {
        guard seq > 0 else { return nil }
        return try history(chat: chat, after: seq - 1, limit: 1, hidden: true).first { $0.chatSeq == seq }
    }

    // MARK: Sent again

    /// The text that this device sent at a place under a number, as long as it is there and nobody deleted it.
    func sentText(_ chat: ChatID, _ seq: UInt64, clientMessageID: UInt64?) throws -> (clientMessageID: UInt64, text: String, writtenAt: Timestamp)? {
        try rows(
            """
            SELECT client_message_id, text, ifnull(written_at, 0) FROM history WHERE chat_id = ?1 AND chat_seq = ?2 AND kind = 0
                AND sender_device = (SELECT device_id FROM account) AND (?3 IS NULL OR client_message_id = ?3) AND text IS NOT NULL
            """,
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                if let clientMessageID { $0.bind(3, clientMessageID) } else { $0.bindNull(3) }
            }
        ) { ($0.unsigned(0), $0.text(1) ?? "", Timestamp(milliseconds: $0.integer(2))) }.first
    }

    /// Whether a user is in the chat now and was when the message at a place was sent. Who is a member of a group now and was not added since did not
    /// come later; where something is missing in between, nobody can tell, and the answer is no.
    func wasMember(_ user: UserID, of chat: ChatID, at seq: UInt64, me: UserID) throws -> Bool {
        guard try memberIDs(of: chat).contains(user) else { return false }
        let kind = try rows("SELECT kind FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.integer(0) }.first
        guard kind == Int64(ChatKind.group.rawValue) else { return true }
        guard try storedGaps(chat).allSatisfy({ $0.places.upperBound <= seq }) else { return false }
        let changes = try rows(
            "SELECT kind, event FROM history WHERE chat_id = ? AND chat_seq > ? AND kind = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                $0.bind(3, 1)
            }
        ) { HistoryRow.kind($0.integer(0), $0.bytes(1)) }
        return changes.allSatisfy { kind in
            guard case .change(let change) = kind else { return false }
            return change.action != .add || !(change.users.contains(user) || change.users.contains(me))
        }
    }

    /// The place in the history at which a message of this device stands.
    func message(_ chat: ChatID, _ seq: UInt64) throws -> MessageID? {
        try rows(
            "SELECT message_id FROM history WHERE chat_id = ? AND chat_seq = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { MessageID($0.unsigned(0)) }.first
    }

    /// Notes that a message is sent again for a device. False when it was before, or when too many were of late.
    func noteResendAnswer(_ chat: ChatID, _ seq: UInt64, for device: DeviceID, at now: Timestamp) throws -> Bool {
        let before = try rows(
            "SELECT 1 FROM resend_answers WHERE chat_id = ? AND chat_seq = ? AND device_id = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                $0.bind(3, device.rawValue)
            }
        ) { _ in true }
        guard before.isEmpty else { return false }
        let recent =
            try rows(
                "SELECT count(*) FROM resend_answers WHERE answered_at > ?", { $0.bind(1, now.milliseconds - Limits.resendWindow.milliseconds) }
            ) { Int($0.integer(0)) }.first ?? 0
        guard recent < Limits.resendAnswers else { return false }
        try run("INSERT INTO resend_answers VALUES (?, ?, ?, ?)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
            $0.bind(3, device.rawValue)
            $0.bind(4, now.milliseconds)
        }
        return true
    }
}
