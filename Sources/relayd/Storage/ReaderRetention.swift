import RelayModel
import RelaySQLite

/// A chat that has messages.
package struct ChatHoldings: Sendable, Equatable {
    package var chat: ChatID
    package var oldest: MessageID
}

/// A message, to decide whether it goes.
package struct HeldMessage: Sendable, Equatable {
    package var id: MessageID
    package var chat: ChatID
    package var seq: UInt64
    /// Of body and keys.
    package var bytes: Int
}

/// What decides about a chat's messages.
package struct ChatStanding: Sendable {
    /// Who is in it, each with their class, '' when they have none.
    package var members: [(user: UserID, name: String)]
    /// All devices that may get messages of the chat have everything up to here; nil when there are none.
    package var acknowledged: UInt64?
}

// What retention asks.
extension Reader {
    /// By class; the one of '' is always there.
    package func retentionPolicies() throws -> [String: RetentionPolicy] {
        let stored = try rows("SELECT class, delivered_days, undelivered_days, user_bytes, once_delivered FROM retention_policies") { row in
            func number(_ column: Int32) -> Int? { row.isNull(column) ? nil : Int(row.integer(column)) }
            return (
                row.text(0) ?? "",
                RetentionPolicy(
                    deliveredDays: number(1), undeliveredDays: number(2), userBytes: number(3), onceDelivered: row.integer(4) != 0)
            )
        }
        return Dictionary(stored, uniquingKeysWith: { first, _ in first }).merging(["": .standard], uniquingKeysWith: { own, _ in own })
    }

    /// How many users each class has, those without one left out.
    package func retentionClasses() throws -> [String: Int] {
        Dictionary(
            try rows("SELECT retention_class, count(*) FROM users WHERE retention_class IS NOT NULL AND removed = 0 GROUP BY 1") {
                ($0.text(0) ?? "", Int($0.integer(1)))
            }, uniquingKeysWith: +)
    }

    /// Chats behind `chat` that have messages, and where the page ended; nil at the end.
    package func holdings(after chat: ChatID, limit: Int) throws -> (chats: [ChatHoldings], next: ChatID?) {
        let found = try rows(
            """
            SELECT chat_id, (SELECT message_id FROM messages m WHERE m.chat_id = c.chat_id ORDER BY seq LIMIT 1) FROM chats c
            WHERE chat_id > ? ORDER BY chat_id LIMIT ?
            """,
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, limit)
            }
        ) { (chat: ChatID($0.unsigned(0)), oldest: $0.isNull(1) ? nil : MessageID($0.unsigned(1))) }
        return (
            found.compactMap { row in row.oldest.map { ChatHoldings(chat: row.chat, oldest: $0) } }, found.count == limit ? found.last?.chat : nil
        )
    }

    package func standing(of chat: ChatID) throws -> ChatStanding {
        try snapshot {
            let members = try rows(
                "SELECT user_id, coalesce(retention_class, '') FROM members JOIN users USING (user_id) WHERE chat_id = ? AND left_id IS NULL AND removed = 0",
                bind: { $0.bind(1, chat.rawValue) }
            ) { (user: UserID($0.unsigned(0)), name: $0.text(1) ?? "") }
            // Who left still gets what came before.
            let acknowledged = try rows(
                """
                SELECT min(mailbox_seq) FROM members s JOIN devices d ON d.user_id = s.user_id AND revoked = 0 JOIN progress USING (device_id)
                WHERE chat_id = ? AND (left_id IS NULL OR mailbox_seq < left_id)
                """,
                bind: { $0.bind(1, chat.rawValue) }
            ) { $0.isNull(0) ? nil : $0.unsigned(0) }.first
            return ChatStanding(members: members, acknowledged: acknowledged)
        }
    }

    /// Messages of all chats behind `id` and up to `last`, oldest first.
    package func held(after id: MessageID, upTo last: MessageID, limit: Int) throws -> [HeldMessage] {
        try rows(
            """
            SELECT message_id, chat_id, seq, length(body) + length(keys) FROM messages WHERE message_id > ? AND message_id <= ?
            ORDER BY message_id LIMIT ?
            """,
            bind: {
                $0.bind(1, id.rawValue)
                $0.bind(2, last.rawValue)
                $0.bind(3, limit)
            }
        ) { HeldMessage(id: MessageID($0.unsigned(0)), chat: ChatID($0.unsigned(1)), seq: $0.unsigned(2), bytes: Int($0.integer(3))) }
    }

    /// The newest message that does not fit any more when a user's messages fill `bytes` from the newest on; nil when all fit.
    package func overflow(of user: UserID, bytes: Int) throws -> MessageID? {
        try snapshot {
            // The newest message of each stay that was not counted yet; the newest of all is next.
            var next: [(stay: Stay, message: HeldMessage)] = []
            func older(_ stay: Stay, than seq: UInt64) throws -> HeldMessage? {
                try rows(
                    """
                    SELECT message_id, chat_id, seq, length(body) + length(keys) FROM messages WHERE chat_id = ? AND seq BETWEEN ? AND ?
                    ORDER BY seq DESC LIMIT 1
                    """,
                    bind: {
                        $0.bind(1, stay.chat.rawValue)
                        $0.bind(2, stay.first)
                        $0.bind(3, seq)
                    }
                ) { HeldMessage(id: MessageID($0.unsigned(0)), chat: ChatID($0.unsigned(1)), seq: $0.unsigned(2), bytes: Int($0.integer(3))) }.first
            }
            for stay in try allStays(of: user) where stay.isActive {
                if let message = try older(stay, than: stay.leftSeq) { next.append((stay, message)) }
            }
            var room = bytes
            while let index = next.indices.max(by: { next[$0].message.id < next[$1].message.id }) {
                let (stay, message) = next[index]
                room -= message.bytes
                if room < 0 { return message.id }
                if message.seq > 1, let more = try older(stay, than: message.seq - 1) {
                    next[index].message = more
                } else {
                    next.remove(at: index)
                }
            }
            return nil
        }
    }

    package func oldestMessage() throws -> MessageID? {
        try rows("SELECT min(message_id) FROM messages") { $0.isNull(0) ? nil : MessageID($0.unsigned(0)) }.first
    }

    /// Pages of the file, those of them that are free, and whether free ones can be given back while the store is in use.
    package func space() throws -> (pages: Int, free: Int, pageBytes: Int, canRelease: Bool) {
        func number(_ pragma: String) throws -> Int { Int(try rows("PRAGMA \(pragma)") { $0.integer(0) }.first ?? 0) }
        return (try number("page_count"), try number("freelist_count"), try number("page_size"), try number("auto_vacuum") == 2)
    }

    /// The proof of purge behind a stamp, oldest first.
    package func purges(after stamp: UInt64, limit: Int) throws -> [(stamp: Stamp, record: PurgeRecord)] {
        try rows(
            "SELECT stamp, entry, hash FROM purges WHERE stamp > ? ORDER BY stamp LIMIT ?",
            bind: {
                $0.bind(1, stamp)
                $0.bind(2, limit)
            }
        ) { (Stamp(rawValue: $0.unsigned(0)), PurgeRecord(entry: $0.text(1) ?? "", hash: $0.bytes(2))) }
    }

    package func lastPurge() throws -> PurgeRecord? {
        try rows("SELECT entry, hash FROM purges ORDER BY stamp DESC LIMIT 1") { PurgeRecord(entry: $0.text(0) ?? "", hash: $0.bytes(1)) }.first
    }
}
