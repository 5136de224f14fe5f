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
}
