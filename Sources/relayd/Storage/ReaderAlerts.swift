import RelayModel
import RelaySQLite

// What operators should know.
extension Reader {
    /// Newest first; those that go on are among them whatever their age. Kinds of a newer relayd are left out.
    package func alerts() throws -> [AlertRow] {
        try rows(
            """
            SELECT alert_id, kind, user_id, device_id, count, figure, first_ms, last_ms, over_ms, acknowledged_ms FROM alerts ORDER BY alert_id DESC
            """
        ) { row -> AlertRow?? in
            guard let kind = AlertKind(rawValue: row.text(1) ?? "") else { return .some(nil) }
            func time(_ column: Int32) -> Timestamp? { row.isNull(column) ? nil : Timestamp(milliseconds: row.integer(column)) }
            let subject: AlertSubject? =
                if !row.isNull(2) { .user(UserID(row.unsigned(2))) } else if !row.isNull(3) { .device(DeviceID(row.unsigned(3))) } else { nil }
            var alert = AlertRow(
                id: Int(row.integer(0)), kind: kind, subject: subject, count: Int(row.integer(4)), figure: Int(row.integer(5)),
                firstAt: Timestamp(milliseconds: row.integer(6)), lastAt: Timestamp(milliseconds: row.integer(7)))
            alert.overAt = time(8)
            alert.acknowledgedAt = time(9)
            return alert
        }.compactMap { $0 }
    }

    /// Oldest first.
    package func loadDays() throws -> [LoadDay] {
        try rows("SELECT day, minutes, busiest, failures, undelivered, store_bytes FROM load_days ORDER BY day") {
            LoadDay(
                day: Int($0.integer(0)), minutes: Int($0.integer(1)), busiest: Int($0.integer(2)), failures: Int($0.integer(3)),
                undelivered: Int($0.integer(4)), storeBytes: Int($0.integer(5)))
        }
    }

    /// Messages of a page of chats that some device of a member has not got: how many, their bytes, and where the page ended.
    /// Of groups whose members fetch by themselves nobody knows, and they are not counted.
    package func undelivered(after chat: ChatID, limit: Int, pushMembers: Int) throws -> (messages: Int, bytes: Int, next: ChatID?) {
        let page = try holdings(after: chat, limit: limit)
        var found = (messages: 0, bytes: 0)
        for holding in page.chats {
            let standing = try standing(of: holding.chat)
            guard (1...pushMembers).contains(standing.members.count), let acknowledged = standing.acknowledged else { continue }
            // Newest first, until one that everybody has: mostly that is the first.
            let waiting = try rows(
                "SELECT message_id, length(body) + length(keys) FROM messages WHERE chat_id = ? ORDER BY seq DESC",
                bind: { $0.bind(1, holding.chat.rawValue) }, upTo: Limits.undeliveredScan
            ) { $0.unsigned(0) > acknowledged ? Int($0.integer(1)) : nil }
            found.messages += waiting.count
            found.bytes += waiting.reduce(0, +)
        }
        return (found.messages, found.bytes, page.next)
    }
}
