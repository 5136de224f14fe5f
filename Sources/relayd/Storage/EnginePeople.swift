import RelayModel
import RelaySQLite

// Figures about people: counted under hashes, published once.
extension SQLiteEngine {
    func openPeople(_ openings: [PeopleOpening]) throws -> Outcome {
        for opening in openings {
            // What was published is not counted again, whatever the clock says.
            try people(
                """
                INSERT INTO people_periods (metric, start, clamp, epsilon, bin, threshold, minimum_users, key)
                SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (SELECT 1 FROM people_releases WHERE metric = ?1 AND start = ?2)
                ON CONFLICT DO NOTHING
                """
            ) {
                $0.bind(1, opening.metric.rawValue)
                $0.bind(2, opening.start)
                $0.bind(3, opening.parameters.clamp)
                $0.bind(4, opening.parameters.epsilonThousandths)
                $0.bind(5, opening.parameters.bin)
                $0.bind(6, opening.threshold)
                $0.bind(7, opening.minimumUsers)
                $0.bind(8, opening.key)
            }
        }
        return .done
    }

    func countPeople(_ command: PeopleCounts) throws -> Outcome {
        for person in command.forgotten {
            try people("DELETE FROM people_tallies WHERE metric = ? AND start = ? AND person = ?") { Self.bind(person, to: $0) }
        }
        // The clamp is the period's own, whatever the configuration says by now.
        let add = try database.prepare(
            """
            INSERT INTO people_tallies (metric, start, person, part, tally)
            SELECT ?1, ?2, ?3, ?4, min(?5, clamp) FROM people_periods WHERE metric = ?1 AND start = ?2
                AND (SELECT coalesce(sum(tally), 0) FROM people_tallies WHERE metric = ?1 AND start = ?2 AND person = ?3) < clamp
            ON CONFLICT DO UPDATE SET tally = min(tally + excluded.tally,
                (SELECT clamp FROM people_periods WHERE metric = ?1 AND start = ?2)) WHERE length(part) = 0
            """)
        for count in command.counts where count.count > 0 {
            try add.run {
                Self.bind(count.person, to: $0)
                $0.bind(4, count.part)
                $0.bind(5, count.part.isEmpty ? count.count : 1)
            }
        }
        return .done
    }

    private static func bind(_ person: PeoplePerson, to statement: Statement) {
        statement.bind(1, person.metric.rawValue)
        statement.bind(2, person.start)
        statement.bind(3, person.person)
    }

    /// Noise first, then the bin, then the threshold. The count itself is in no row, and leaves this function in no other way.
    func closePeople(_ command: PeopleClose) throws -> Outcome {
        guard let period = try reader.peoplePeriods(command.metric, start: command.start).first else { return .done }
        var state = PeopleRelease.State.withheld
        var value: Int?
        if try passesGate(command, minimumUsers: period.minimumUsers) {
            let find = try database.prepare(
                """
                SELECT coalesce(sum(min(t, ?3)), 0) FROM
                    (SELECT sum(tally) AS t FROM people_tallies WHERE metric = ?1 AND start = ?2 GROUP BY person)
                """)
            find.bind(1, command.metric.rawValue)
            find.bind(2, command.start)
            find.bind(3, period.parameters.clamp)
            let noised = (try find.step() ? find.integer(0) : 0) + command.noise
            find.reset()
            let binned = SQLiteEngine.round(noised, to: Int64(period.parameters.bin))
            (state, value) = binned < Int64(period.threshold) ? (.suppressed, nil) : (.released, Int(binned))
        }
        try people(
            "INSERT INTO people_releases (metric, start, state, value, clamp, epsilon, bin, threshold, algorithm) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ) {
            $0.bind(1, command.metric.rawValue)
            $0.bind(2, command.start)
            $0.bind(3, state.rawValue)
            if let value { $0.bind(4, value) } else { $0.bindNull(4) }
            $0.bind(5, period.parameters.clamp)
            $0.bind(6, period.parameters.epsilonThousandths)
            $0.bind(7, period.parameters.bin)
            $0.bind(8, period.threshold)
            $0.bind(9, command.algorithm)
        }
        for table in ["people_tallies", "people_periods"] {
            try people("DELETE FROM \(table) WHERE metric = ? AND start = ?") {
                $0.bind(1, command.metric.rawValue)
                $0.bind(2, command.start)
            }
        }
        return .done
    }

    /// To the nearest multiple; half of one goes up.
    static func round(_ value: Int64, to bin: Int64) -> Int64 {
        let shifted = value + bin / 2
        return shifted - ((shifted % bin) + bin) % bin
    }

    /// Whether there are enough users, as the first one to ask in a week found out.
    private func passesGate(_ command: PeopleClose, minimumUsers: Int) throws -> Bool {
        let week = PeoplePeriod.week.start(of: command.start)
        if let known = try database.integer("SELECT passes FROM people_gates WHERE start = \(week)") { return known != 0 }
        let before = try database.integer("SELECT passes FROM people_gates WHERE start < \(week) ORDER BY start DESC LIMIT 1")
        let passes = PeopleGate.passes(noised: Int64(userCount) + command.gateNoise, minimum: minimumUsers, passedBefore: before == 1)
        try people("INSERT INTO people_gates (start, passes, epsilon, minimum_users) VALUES (?, ?, ?, ?)") {
            $0.bind(1, week)
            $0.bind(2, passes ? 1 : 0)
            $0.bind(3, PeopleGate.epsilonThousandths)
            $0.bind(4, minimumUsers)
        }
        return passes
    }

    /// Some times a minute at most: not worth being prepared for ever.
    private func people(_ sql: String, _ bind: (Statement) -> Void) throws(SQLiteError) { try database.prepare(sql).run(bind) }

    // MARK: What expires unread

    /// For how many members a chat's messages up to a place, which are about to be deleted, are the last they heard of them: no device of theirs has them.
    ///
    /// Devices have what is before their cursor. Chats of more than ``Limits/peopleUnreadMembers`` are passed over.
    /// - Parameter found: messages by user, their own left out, at most ``Limits/peopleClampCeiling`` in one chat.
    func countUnread(of chat: ChatID, upTo seq: UInt64, into found: inout [UserID: Int]) throws {
        // Who has no device waits for nothing.
        let behind = try reader.rows(
            """
            SELECT s.user_id, s.joined_seq, s.left_seq, coalesce(max(p.mailbox_seq), 0) AS has FROM members s
            JOIN users u ON u.user_id = s.user_id AND u.removed = 0 JOIN devices d ON d.user_id = s.user_id AND d.revoked = 0 JOIN progress p USING (device_id)
            WHERE s.chat_id = ?1 AND (SELECT member_count FROM chats WHERE chat_id = ?1) <= \(Limits.peopleUnreadMembers) GROUP BY s.user_id, s.joined_seq
            HAVING has < (SELECT max(message_id) FROM (SELECT message_id FROM messages WHERE chat_id = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1))
            """,
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, min(seq, UInt64(Int64.max)))
            }
        ) { (user: UserID($0.unsigned(0)), first: $0.unsigned(1), last: $0.isNull(2) ? nil : $0.unsigned(2), has: $0.unsigned(3)) }
        for member in behind {
            let count = try reader.rows(
                """
                SELECT count(*) FROM (SELECT 1 FROM messages WHERE chat_id = ? AND seq BETWEEN ? AND ? AND message_id > ? AND user_id != ? AND kind = 0
                LIMIT \(Limits.peopleClampCeiling))
                """,
                bind: {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, member.first)
                    $0.bind(3, min(seq, member.last ?? seq, UInt64(Int64.max)))
                    $0.bind(4, member.has)
                    $0.bind(5, member.user.rawValue)
                }
            ) { Int($0.integer(0)) }.first
            if let count, count > 0 { found[member.user, default: 0] += count }
        }
    }
}
