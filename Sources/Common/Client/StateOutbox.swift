import RelayModel
import RelaySQLite

/// Messages that wait to be accepted, and those that the relay will never take.
extension ClientState {
    // MARK: Outbox

    /// Queues a message. Call it inside ``transaction(_:)`` with others to queue them together.
    func enqueue(_ text: String, to recipient: String, writtenAt: Timestamp) throws -> Int64 {
        try run("INSERT INTO outbox (recipient, text, written_at) VALUES (?, ?, ?)") {
            $0.bind(1, recipient)
            $0.bind(2, text)
            $0.bind(3, writtenAt.milliseconds)
        }
        return try database.integer("SELECT last_insert_rowid()") ?? 0
    }

    private static let outboxColumns = "SELECT id, recipient, text, written_at, chat_id, client_message_id FROM outbox"

    func outboxEntry(_ row: Statement) -> OutboxEntry {
        OutboxEntry(
            id: row.integer(0), recipient: row.text(1) ?? "", text: row.text(2) ?? "", writtenAt: Timestamp(milliseconds: row.integer(3)),
            chat: row.isNull(4) ? nil : ChatID(row.unsigned(4)), clientMessageID: row.isNull(5) ? nil : row.unsigned(5))
    }

    package func outboxCount() throws(ClientError) -> Int {
        try storing { try rows("SELECT count(*) FROM outbox") { Int($0.integer(0)) }.first ?? 0 }
    }

    /// In the order in which they were written.
    package func outbox(limit: Int = Limits.clientOutbox) throws(ClientError) -> [OutboxEntry] {
        try storing { try rows(ClientState.outboxColumns + " ORDER BY id LIMIT ?", { $0.bind(1, limit) }, outboxEntry) }
    }

    func unsealed(limit: Int) throws -> [OutboxEntry] {
        try rows(ClientState.outboxColumns + " WHERE client_message_id IS NULL ORDER BY id LIMIT ?", { $0.bind(1, limit) }, outboxEntry)
    }

    /// What was sealed and may have been sent before this process began, by rising number.
    func sealedOutbox() throws -> [OutboxEntry] {
        try rows(ClientState.outboxColumns + " WHERE client_message_id IS NOT NULL ORDER BY client_message_id", { _ in }, outboxEntry)
    }

    func outboxEntry(_ id: Int64) throws -> OutboxEntry? {
        try rows(ClientState.outboxColumns + " WHERE id = ?", { $0.bind(1, id) }, outboxEntry).first
    }

    /// Messages for a user that are not sealed yet.
    func unsealed(to recipient: String) throws -> [Int64] {
        try rows("SELECT id FROM outbox WHERE recipient = ? AND client_message_id IS NULL ORDER BY id", { $0.bind(1, recipient) }) { $0.integer(0) }
    }

    func sealedBytes(_ id: Int64) throws -> [UInt8]? {
        try rows("SELECT sealed FROM outbox WHERE id = ?", { $0.bind(1, id) }) { $0.isNull(0) ? nil : $0.bytes(0) }.first ?? nil
    }

    func storeSealed(_ id: Int64, chat: ChatID, clientMessageID: UInt64, _ bytes: [UInt8]) throws {
        try run("UPDATE outbox SET chat_id = ?, client_message_id = ?, sealed = ? WHERE id = ?") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, clientMessageID)
            $0.bind(3, bytes)
            $0.bind(4, id)
        }
        try setHighestClientMessageID(clientMessageID)
    }

    /// The relay has it: from the outbox into the history.
    func storeSent(_ id: Int64, _ place: SentPlace, by account: Account) throws {
        guard let entry = try outboxEntry(id) else { return }
        try insertHistory(
            HistoryEntry(
                chat: place.chat, chatSeq: place.chatSeq, message: place.message, senderUser: account.user, senderDevice: account.device,
                clientMessageID: place.clientMessageID, sentAt: place.sentAt, writtenAt: entry.writtenAt, text: entry.text, problem: nil, outboxID: id
            ))
        try run("DELETE FROM outbox WHERE id = ?") { $0.bind(1, id) }
        try fillGap(place.chat, place.chatSeq)
    }

    // MARK: Dead letters

    /// From the outbox to the dead letters.
    func bury(_ id: Int64, code: String, reason: String) throws -> DeadLetter? {
        guard let entry = try outboxEntry(id) else { return nil }
        try run("INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)") {
            $0.bind(1, id)
            $0.bind(2, entry.recipient)
            $0.bind(3, entry.text)
            $0.bind(4, entry.writtenAt.milliseconds)
            $0.bind(5, code)
            $0.bind(6, reason)
        }
        try run("DELETE FROM outbox WHERE id = ?") { $0.bind(1, id) }
        return DeadLetter(id: id, recipient: entry.recipient, text: entry.text, writtenAt: entry.writtenAt, code: code, reason: reason)
    }

    package func deadLetters() throws(ClientError) -> [DeadLetter] {
        try storing {
            try rows("SELECT id, recipient, text, written_at, code, reason FROM dead_letters ORDER BY id") {
                DeadLetter(
                    id: $0.integer(0), recipient: $0.text(1) ?? "", text: $0.text(2) ?? "", writtenAt: Timestamp(milliseconds: $0.integer(3)),
                    code: $0.text(4) ?? "", reason: $0.text(5) ?? "")
            }
        }
    }

    /// Puts all dead letters back into the outbox, behind what waits there, in their old order. Gives how many.
    package func retryDeadLetters() throws(ClientError) -> Int {
        try transaction {
            try run("INSERT INTO outbox (recipient, text, written_at) SELECT recipient, text, written_at FROM dead_letters ORDER BY id")
            try run("DELETE FROM dead_letters")
            return database.changes
        }
    }
}
