import FoundationEssentials
import RelayModel
import RelaySQLite
import RelayWire
import SwiftProtobuf

/// Messages that wait to be accepted, and those that the relay will never take.
extension ClientState {
    // MARK: Outbox

    /// Queues a message for a user. Call it inside ``transaction(_:)`` with others to queue them together.
    func enqueue(_ text: String, to recipient: String, writtenAt: Timestamp) throws -> Int64 {
        try enqueue(text, to: recipient, writtenAt: writtenAt, target: nil, command: nil)
    }

    /// Queues anything: a message without `command`; for a chat, for the group that another entry makes, or for a user's chat without `target`.
    func enqueue(_ text: String, to recipient: String, writtenAt: Timestamp, target: GroupTarget?, command: OutboxCommand?) throws -> Int64 {
        let target = try target.map { try settled($0) }
        let encoded = try command.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
        try run("INSERT INTO outbox (recipient, text, written_at, target, follows, command) VALUES (?, ?, ?, ?, ?, ?)") {
            $0.bind(1, recipient)
            $0.bind(2, text)
            $0.bind(3, writtenAt.milliseconds)
            $0.bindNull(4)
            $0.bindNull(5)
            switch target {
            case .chat(let chat): $0.bind(4, chat.rawValue)
            case .unborn(let id): $0.bind(5, id)
            case nil: break
            }
            $0.bind(6, encoded)
        }
        return try database.integer("SELECT last_insert_rowid()") ?? 0
    }

    /// A group that was still in the outbox when it was looked for may have been made since.
    private func settled(_ target: GroupTarget) throws -> GroupTarget {
        guard case .unborn(let id) = target, try outboxEntry(id) == nil else { return target }
        if let place = try place(of: id) { return .chat(place.chat) }
        throw ClientError.request("the group was not made", hint: "`chatctl client outbox` says why")
    }

    private static let outboxColumns = "SELECT id, recipient, text, written_at, chat_id, client_message_id, target, follows, command FROM outbox"

    private func outboxEntry(_ row: Statement) -> OutboxEntry {
        OutboxEntry(
            id: row.integer(0), recipient: row.text(1) ?? "", text: row.text(2) ?? "", writtenAt: Timestamp(milliseconds: row.integer(3)),
            chat: row.isNull(4) ? nil : ChatID(row.unsigned(4)), clientMessageID: row.isNull(5) ? nil : row.unsigned(5),
            target: row.isNull(6) ? nil : ChatID(row.unsigned(6)), follows: row.isNull(7) ? nil : row.integer(7),
            command: ClientState.command(row.text(8)))
    }

    private static func command(_ text: String?) -> OutboxCommand? {
        text.flatMap { try? JSONDecoder().decode(OutboxCommand.self, from: Data($0.utf8)) }
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

    /// The entry of the outbox that makes a group of this title, the last one written.
    func unbornGroup(titled title: String) throws -> Int64? {
        try rows("SELECT id, command FROM outbox WHERE command IS NOT NULL AND text = ? ORDER BY id DESC", { $0.bind(1, title) }) { row -> Int64? in
            if case .create = ClientState.command(row.text(1)) { row.integer(0) } else { nil }
        }.compactMap { $0 }.first
    }

    /// Messages for a user that are not sealed yet.
    func unsealed(to recipient: String) throws -> [Int64] {
        try rows(
            "SELECT id FROM outbox WHERE recipient = ? AND client_message_id IS NULL AND target IS NULL AND follows IS NULL AND command IS NULL ORDER BY id",
            { $0.bind(1, recipient) }
        ) { $0.integer(0) }
    }

    /// What waits for a chat that is named by its number, and is not sealed yet.
    func unsealed(for chat: ChatID) throws -> [Int64] {
        try rows("SELECT id FROM outbox WHERE target = ? AND client_message_id IS NULL ORDER BY id", { $0.bind(1, chat.rawValue) }) { $0.integer(0) }
    }

    func sealedBytes(_ id: Int64) throws -> [UInt8]? {
        try rows("SELECT sealed FROM outbox WHERE id = ?", { $0.bind(1, id) }) { $0.isNull(0) ? nil : $0.bytes(0) }.first ?? nil
    }

    /// - Parameter key: what opens the body that is sealed in it.
    func storeSealed(_ id: Int64, chat: ChatID, clientMessageID: UInt64, _ bytes: [UInt8], key: [UInt8]? = nil) throws {
        try run("UPDATE outbox SET chat_id = ?, client_message_id = ?, sealed = ?, key = ? WHERE id = ?") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, clientMessageID)
            $0.bind(3, bytes)
            if let key { $0.bind(4, key) } else { $0.bindNull(4) }
            $0.bind(5, id)
        }
        try setHighestClientMessageID(clientMessageID)
    }

    /// What became of an entry that the relay has accepted.
    enum Accepted {
        case message
        case change(HistoryEntry)
        case deletion(ChatID, [UInt64], forEveryone: Bool)
    }

    /// The relay has it: from the outbox into the history. Nil when it was there before.
    @discardableResult
    func storeSent(_ id: Int64, _ place: SentPlace, by account: Account) throws -> Accepted? {
        guard let entry = try outboxEntry(id) else { return nil }
        try makeRoom(in: place.chat, at: place.chatSeq, for: place.message)
        var row = HistoryEntry(
            chat: place.chat, chatSeq: place.chatSeq, message: place.message, senderUser: account.user, senderDevice: account.device,
            clientMessageID: place.clientMessageID, sentAt: place.sentAt, writtenAt: entry.writtenAt, text: nil, problem: nil, outboxID: id)
        row.contentKey = try rows("SELECT key FROM outbox WHERE id = ?", { $0.bind(1, id) }) { $0.isNull(0) ? nil : $0.bytes(0) }.first ?? nil
        let accepted: Accepted
        switch entry.command {
        case nil:
            row.text = entry.text
            if let forEveryone = try deletion(place.chat, place.chatSeq) {
                row.kind = .deleted(forEveryone: forEveryone)
                row.text = nil
                row.contentKey = nil
            }
            try insertHistory(row)
            accepted = .message
        case .requestResend, .resend:
            row.kind = .technical
            row.writtenAt = nil
            try insertHistory(row)
            accepted = .message
        case .delete(let seqs, let forEveryone):
            let chat = entry.target ?? place.chat
            try applyDeletion(chat, seqs, forEveryone: forEveryone)
            row.kind = .deletion(seqs)
            // What one deletes for oneself has its place in one's notes, not in the chat.
            if forEveryone { try insertHistory(row) } else { try markNotes(place.chat) }
            accepted = .deletion(chat, seqs, forEveryone: forEveryone)
        default:
            guard let sealed = try sealedBytes(id), let wire = try? Relay_V1_GroupChange(serializedBytes: sealed),
                let action = GroupAction(rawValue: UInt8(clamping: wire.action.rawValue))
            else { throw ClientError.store("a sealed change of the outbox is damaged") }
            let users = action == .leave ? [account.user] : wire.userIds.map { UserID($0) }
            let change = GroupChangeRecord(action: action, users: users, role: GroupRole(wire.role))
            row.kind = .change(change)
            switch action {
            case .create, .rename: row.text = entry.text
            case .add: row.text = wire.body.isEmpty ? nil : try title(of: place.chat)
            case .remove, .leave, .setRole: break
            }
            if action == .create { try adopt(place.chat, from: id) }
            try apply(change, title: row.text, in: place.chat, at: place.chatSeq, by: account.user, me: account.user)
            try insertHistory(row)
            accepted = .change(row)
        }
        try run("DELETE FROM outbox WHERE id = ?") { $0.bind(1, id) }
        try fillGap(place.chat, place.chatSeq)
        return accepted
    }

    /// The group that an entry made exists now: what waited for it is for this chat.
    private func adopt(_ chat: ChatID, from id: Int64) throws {
        try run("UPDATE outbox SET target = ?, follows = NULL WHERE follows = ?") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, id)
        }
    }

    // MARK: Dead letters

    /// From the outbox to the dead letters, with what waited for it to be done. What the device wrote by itself is only dropped.
    func bury(_ id: Int64, code: String, reason: String) throws -> [DeadLetter] {
        guard let entry = try outboxEntry(id) else { return [] }
        if let command = entry.command, command.isTechnical {
            try run("DELETE FROM outbox WHERE id = ?") { $0.bind(1, id) }
            try gaveUp(command, in: entry.target, reason: reason)
            return []
        }
        try run(
            """
            INSERT OR REPLACE INTO dead_letters (id, recipient, text, written_at, code, reason, target, follows, command)
            SELECT id, recipient, text, written_at, ?2, ?3, target, follows, command FROM outbox WHERE id = ?1
            """
        ) {
            $0.bind(1, id)
            $0.bind(2, code)
            $0.bind(3, reason)
        }
        try run("DELETE FROM outbox WHERE id = ?") { $0.bind(1, id) }
        var dead = [
            DeadLetter(
                id: id, recipient: entry.recipient, text: entry.text, writtenAt: entry.writtenAt, code: code, reason: reason, command: entry.command)
        ]
        guard case .create = entry.command else { return dead }
        for follower in try rows("SELECT id FROM outbox WHERE follows = ? ORDER BY id", { $0.bind(1, id) }, { $0.integer(0) }) {
            dead += try bury(follower, code: "group_not_created", reason: "the group was not made: \(reason)")
        }
        return dead
    }

    package func deadLetters() throws(ClientError) -> [DeadLetter] {
        try storing {
            try rows("SELECT id, recipient, text, written_at, code, reason, command FROM dead_letters ORDER BY id") {
                DeadLetter(
                    id: $0.integer(0), recipient: $0.text(1) ?? "", text: $0.text(2) ?? "", writtenAt: Timestamp(milliseconds: $0.integer(3)),
                    code: $0.text(4) ?? "", reason: $0.text(5) ?? "", command: ClientState.command($0.text(6)))
            }
        }
    }

    /// Puts all dead letters back into the outbox, behind what waits there, in their old order. Gives how many.
    package func retryDeadLetters() throws(ClientError) -> Int {
        try transaction {
            let dead = try rows("SELECT id, follows FROM dead_letters ORDER BY id") { ($0.integer(0), $0.isNull(1) ? nil : $0.integer(1)) }
            var renumbered: [Int64: Int64] = [:]
            for (id, follows) in dead {
                // What waited for a group that was made after all is sent to that group.
                let made = try follows.flatMap { followed in
                    try rows("SELECT chat_id FROM history WHERE outbox_id = ?", { $0.bind(1, followed) }, { $0.unsigned(0) }).first
                }
                try run(
                    """
                    INSERT INTO outbox (recipient, text, written_at, target, follows, command)
                    SELECT recipient, text, written_at, ifnull(?2, target), ?3, command FROM dead_letters WHERE id = ?1
                    """
                ) {
                    $0.bind(1, id)
                    if let made { $0.bind(2, made) } else { $0.bindNull(2) }
                    if let follows, made == nil { $0.bind(3, renumbered[follows] ?? follows) } else { $0.bindNull(3) }
                }
                renumbered[id] = try database.integer("SELECT last_insert_rowid()") ?? 0
            }
            try run("DELETE FROM dead_letters")
            return dead.count
        }
    }
}
