import RelayModel
import RelaySQLite

/// A step of the proof of purge; the hash chains it to the one before. ``RelayRetention`` makes and checks them.
package struct PurgeRecord: Codable, Sendable, Equatable {
    /// The entry's text as it was hashed.
    package var entry: String
    /// 32 bytes.
    package var hash: [UInt8]
    package init(entry: String, hash: [UInt8]) {
        self.entry = entry
        self.hash = hash
    }
}

/// What operators decide about a class of users; '' are all that have none.
package struct SetRetention: Codable, Sendable {
    package var name: String
    /// Nil: the class has no policy of its own any more.
    package var policy: RetentionPolicy?
    package init(name: String, policy: RetentionPolicy?) {
        self.name = name
        self.policy = policy
    }
}

// What is old goes, and what says so stays.
extension SQLiteEngine {
    /// Deletes, of each chat, its messages up to a place. The caller bounds how many that are.
    func purge(_ ends: [PurgeEnd]) throws -> Outcome {
        var rows = 0
        var unread: [UserID: Int] = [:]
        // What devices acknowledged in this batch counts.
        try writeChanges()
        let began = monotonic.nanoseconds()
        for end in ends {
            if end.mayBeUnread { try countUnread(of: end.chat, upTo: end.seq, into: &unread) }
            rows += try expireMessages(of: end.chat, upTo: end.seq, limit: .max)
        }
        return .purged(rows: rows, unread: unread, took: .nanoseconds(monotonic.nanoseconds() - began))
    }

    func setRetention(_ command: SetRetention) throws -> Outcome {
        guard let policy = command.policy else {
            guard !command.name.isEmpty else { throw Rejection.changeInvalid }
            try retention("DELETE FROM retention_policies WHERE class = ?") { $0.bind(1, command.name) }
            try retention("UPDATE users SET retention_class = NULL WHERE retention_class = ?") { $0.bind(1, command.name) }
            return .done
        }
        try retention(
            """
            INSERT INTO retention_policies (class, delivered_days, undelivered_days, user_bytes, once_delivered) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET delivered_days = excluded.delivered_days, undelivered_days = excluded.undelivered_days,
                user_bytes = excluded.user_bytes, once_delivered = excluded.once_delivered
            """
        ) {
            $0.bind(1, command.name)
            for (index, value) in [policy.deliveredDays, policy.undeliveredDays, policy.userBytes].enumerated() {
                if let value { $0.bind(Int32(index + 2), value) } else { $0.bindNull(Int32(index + 2)) }
            }
            $0.bind(5, policy.onceDelivered ? 1 : 0)
        }
        return .done
    }

    /// - Parameter name: of a class that has a policy; nil: none.
    func assignRetention(_ id: UserID, _ name: String?) throws -> Outcome {
        _ = try presentUser(id)
        if let name {
            let find = try database.prepare("SELECT 1 FROM retention_policies WHERE class = ?")
            find.bind(1, name)
            guard try find.step() else { throw Rejection.changeInvalid }
        }
        try retention("UPDATE users SET retention_class = ?2 WHERE user_id = ?1") {
            $0.bind(1, id.rawValue)
            $0.bind(2, name)
        }
        return .done
    }

    func recordPurge(_ record: PurgeRecord, _ stamp: Stamp) throws -> Outcome {
        try retention("INSERT INTO purges (stamp, entry, hash) VALUES (?, ?, ?)") {
            $0.bind(1, stamp.rawValue)
            $0.bind(2, record.entry)
            $0.bind(3, record.hash)
        }
        return .done
    }

    /// Gives up to `pages` free pages of the file back to the file system, but for those that are kept for new messages. Changes no table.
    func releaseSpace(pages: Int) throws -> Outcome {
        let began = monotonic.nanoseconds()
        let before = try database.integer("PRAGMA freelist_count") ?? 0
        let kept = (try database.integer("PRAGMA page_count") ?? 0) / Int64(Limits.freePagesKept)
        guard before > kept else { return .released(pages: 0, remaining: false, took: .zero) }
        let release = try database.prepare("PRAGMA incremental_vacuum(\(min(Int64(pages), before - kept)))")
        // Each step moves a page.
        while try release.step() {}
        let after = try database.integer("PRAGMA freelist_count") ?? 0
        return .released(
            pages: Int(before - after), remaining: after > kept && after < before, took: .nanoseconds(monotonic.nanoseconds() - began))
    }

    /// Some times a day: not worth being prepared for ever.
    private func retention(_ sql: String, _ bind: (Statement) -> Void) throws(SQLiteError) { try database.prepare(sql).run(bind) }
}
