import RelayModel
import RelaySQLite

extension Reader {
    /// Messages that some device of somebody else has yet to get, in the chats behind `chat`: what lies behind the device's cursor and was not
    /// sent by its own user. Of one chat at most ``Limits/undeliveredMessages``.
    /// - Returns: `next` is where the step ended; nil at the last chat.
    package func undelivered(after chat: ChatID, limit: Int = Limits.undeliveredChats) throws -> (messages: Int, next: ChatID?) {
        let (chats, next) = try holdings(after: chat, limit: limit)
        return (try chats.reduce(0) { try $0 + undelivered(of: $1.chat) }, next)
    }

    private func undelivered(of chat: ChatID) throws -> Int {
        try snapshot {
            let cursors = try rows(
                """
                SELECT s.user_id, min(mailbox_seq) FROM members s JOIN devices d ON d.user_id = s.user_id AND revoked = 0 JOIN progress USING (device_id)
                WHERE chat_id = ? AND left_id IS NULL GROUP BY s.user_id ORDER BY 2 LIMIT 2
                """,
                bind: { $0.bind(1, chat.rawValue) }
            ) { (user: $0.unsigned(0), cursor: $0.unsigned(1)) }
            // Whoever is furthest behind waits for everything but their own messages; for those the next one counts.
            guard let first = cursors.first else { return 0 }
            let second = cursors.count > 1 ? cursors[1].cursor : UInt64.max
            var count = 0
            _ = try rows(
                "SELECT message_id, user_id FROM messages WHERE chat_id = ? ORDER BY seq DESC LIMIT ?",
                bind: {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, Limits.undeliveredMessages)
                }
            ) { row -> Void? in
                let id = row.unsigned(0)
                guard id > first.cursor else { return nil }
                if row.unsigned(1) != first.user || id > second { count += 1 }
                return ()
            }
            return count
        }
    }
}
