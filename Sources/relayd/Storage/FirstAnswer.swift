import RelayModel
import RelaySQLite

/// A retry whose first answer is not among the newest messages of its chat: whoever asked looks further back, with a reader.
package struct Retry: Sendable, Equatable {
    package var chat: ChatID
    package var device: DeviceID
    package var clientMessageID: UInt64
    /// What the device may not use again, when there is no first answer.
    package var highest: UInt64
    /// From here on it was looked for already.
    package var before: UInt64

    package init(chat: ChatID, device: DeviceID, clientMessageID: UInt64, highest: UInt64, before: UInt64) {
        self.chat = chat
        self.device = device
        self.clientMessageID = clientMessageID
        self.highest = highest
        self.before = before
    }
}

/// What one step of the search for a retry's first answer found.
///
/// A device's client message ids rise with its messages, but nothing leads from one of them to the next: what others wrote in between is looked at one by one.
/// That can be all of a large chat, so it goes step by step and off the writer's thread. A step's figure is beside ``Limits/retryPage``.
package enum FirstAnswer: Sendable {
    case sent(SentOutcome, deleted: Bool)
    /// It was never accepted in this chat, or is gone.
    case none
    /// What is older was not looked at.
    case further(before: UInt64)

    static let sql =
        "SELECT seq, message_id, device_id, client_message_id, kind FROM messages WHERE chat_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"

    /// Looks at the newest `limit` messages of the chat before the retry's place.
    static func look(for retry: Retry, with statement: Statement, limit: Int) throws(SQLiteError) -> FirstAnswer {
        defer { statement.reset() }
        statement.bind(1, retry.chat.rawValue)
        statement.bind(2, min(retry.before, UInt64(Int64.max)))
        statement.bind(3, limit)
        var seen = 0
        var last: UInt64 = 0
        while try statement.step() {
            seen += 1
            last = statement.unsigned(0)
            let message = MessageID(statement.unsigned(1))
            // Identifiers are stamps: what is older than the device is not the device's.
            guard message.rawValue > retry.device.rawValue else { return .none }
            guard statement.unsigned(2) == retry.device.rawValue, statement.unsigned(3) <= retry.clientMessageID else { continue }
            guard statement.unsigned(3) == retry.clientMessageID else { return .none }
            let sent = SentOutcome(chat: retry.chat, clientMessageID: retry.clientMessageID, message: message, chatSeq: last)
            return .sent(sent, deleted: ExtraBytes.Kind(rawValue: statement.integer(4)) == .deleted)
        }
        return seen == limit ? .further(before: last) : .none
    }
}

extension Reader {
    /// One step, of at most `limit` messages.
    package func firstAnswer(to retry: Retry, limit: Int = Limits.retryPage) throws -> FirstAnswer {
        try FirstAnswer.look(for: retry, with: try statement(FirstAnswer.sql), limit: limit)
    }
}
