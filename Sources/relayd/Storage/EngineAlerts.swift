import RelayModel
import RelaySQLite

// What operators should know.
extension SQLiteEngine {
    func recordAlerts(_ command: RecordAlerts) throws -> Outcome {
        let write = try database.prepare(
            """
            INSERT INTO alerts (alert_id, kind, user_id, device_id, count, figure, first_ms, last_ms, over_ms, acknowledged_ms)
                SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
                -- Not about somebody who was removed meanwhile.
                WHERE (?3 IS NULL OR EXISTS (SELECT 1 FROM users WHERE user_id = ?3 AND removed = 0))
                    AND (?4 IS NULL OR EXISTS (SELECT 1 FROM devices JOIN users USING (user_id) WHERE device_id = ?4 AND removed = 0))
            ON CONFLICT DO UPDATE SET count = excluded.count, figure = excluded.figure, last_ms = excluded.last_ms, over_ms = excluded.over_ms,
                acknowledged_ms = excluded.acknowledged_ms
            """)
        for row in command.rows {
            try write.run {
                $0.bind(1, row.id)
                $0.bind(2, row.kind.rawValue)
                $0.bindNull(3)
                $0.bindNull(4)
                switch row.subject {
                case .user(let user): $0.bind(3, user.rawValue)
                case .device(let device): $0.bind(4, device.rawValue)
                case nil: break
                }
                $0.bind(5, row.count)
                $0.bind(6, row.figure)
                $0.bind(7, row.firstAt.milliseconds)
                $0.bind(8, row.lastAt.milliseconds)
                if let over = row.overAt { $0.bind(9, over.milliseconds) } else { $0.bindNull(9) }
                if let acknowledged = row.acknowledgedAt { $0.bind(10, acknowledged.milliseconds) } else { $0.bindNull(10) }
            }
        }
        try database.prepare("DELETE FROM alerts WHERE over_ms < ?").run { $0.bind(1, command.forgetBefore.milliseconds) }
        try database.prepare("DELETE FROM alerts WHERE over_ms IS NOT NULL AND alert_id <= (SELECT max(alert_id) FROM alerts) - ?").run {
            $0.bind(1, Limits.alertsKept)
        }
        return .done
    }

    /// What is kept about a user who goes.
    func deleteAlerts(about user: UserID) throws {
        try database.prepare("DELETE FROM alerts WHERE user_id = ?1 OR device_id IN (SELECT device_id FROM devices WHERE user_id = ?1)").run {
            $0.bind(1, user.rawValue)
        }
    }

    func recordLoad(_ day: LoadDay) throws -> Outcome {
        try database.prepare(
            """
            INSERT INTO load_days (day, minutes, busiest, failures, undelivered, store_bytes) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET minutes = excluded.minutes, busiest = excluded.busiest, failures = excluded.failures,
                undelivered = excluded.undelivered, store_bytes = excluded.store_bytes
            """
        ).run {
            for (index, value) in [day.day, day.minutes, day.busiest, day.failures, day.undelivered, day.storeBytes].enumerated() {
                $0.bind(Int32(index + 1), value)
            }
        }
        try database.prepare("DELETE FROM load_days WHERE day <= ?").run { $0.bind(1, day.day - Limits.loadDaysKept) }
        return .done
    }
}
