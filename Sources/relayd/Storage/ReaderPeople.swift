import RelayModel
import RelaySQLite

// What figures about people are asked for.
extension Reader {
    /// The open ones; of one figure and time when both are given.
    package func peoplePeriods(_ metric: PeopleMetric? = nil, start: Int? = nil) throws -> [PeopleOpening] {
        try rows(
            """
            SELECT metric, start, clamp, epsilon, threshold, minimum_users, key FROM people_periods
            WHERE (?1 IS NULL OR metric = ?1) AND (?2 IS NULL OR start = ?2) ORDER BY start, metric
            """,
            bind: {
                $0.bind(1, metric?.rawValue)
                if let start { $0.bind(2, start) } else { $0.bindNull(2) }
            }
        ) { row in
            PeopleMetric(rawValue: row.text(0) ?? "").map {
                PeopleOpening(
                    metric: $0, start: Int(row.integer(1)),
                    parameters: PeopleParameters(clamp: Int(row.integer(2)), epsilonThousandths: Int(row.integer(3))),
                    threshold: Int(row.integer(4)), minimumUsers: Int(row.integer(5)), key: row.bytes(6))
            }
        }
    }

    /// The last ones of a figure, oldest first.
    package func peopleReleases(_ metric: PeopleMetric, limit: Int) throws -> [PeopleRelease] {
        try rows(
            """
            SELECT start, state, value, clamp, epsilon, bin, threshold, algorithm FROM people_releases WHERE metric = ? ORDER BY start DESC LIMIT ?
            """,
            bind: {
                $0.bind(1, metric.rawValue)
                $0.bind(2, limit)
            }
        ) { row in
            PeopleRelease(
                metric: metric, start: Int(row.integer(0)), state: PeopleRelease.State(rawValue: Int(row.integer(1))) ?? .withheld,
                value: row.isNull(2) ? nil : Int(row.integer(2)),
                parameters: PeopleParameters(clamp: Int(row.integer(3)), epsilonThousandths: Int(row.integer(4))), bin: Int(row.integer(5)),
                threshold: Int(row.integer(6)), algorithm: Int(row.integer(7)))
        }.reversed()
    }

    package func isReleased(_ metric: PeopleMetric, start: Int) throws -> Bool {
        try !rows(
            "SELECT 1 FROM people_releases WHERE metric = ? AND start = ?",
            bind: {
                $0.bind(1, metric.rawValue)
                $0.bind(2, start)
            }
        ) { _ in true }.isEmpty
    }

    /// What all releases have spent. What was withheld for lack of users was never looked at, and cost nothing but the question.
    package func peopleSpending() throws -> (metrics: [PeopleMetric: PeopleSpending], gate: PeopleSpending) {
        try snapshot {
            let metrics = try rows("SELECT metric, count(*), sum(epsilon) FROM people_releases WHERE state != 0 GROUP BY metric") {
                ($0.text(0) ?? "", PeopleSpending(releases: Int($0.integer(1)), thousandths: Int($0.integer(2))))
            }
            let gate = try rows("SELECT count(*), coalesce(sum(epsilon), 0) FROM people_gates") {
                PeopleSpending(releases: Int($0.integer(0)), thousandths: Int($0.integer(1)))
            }
            return (
                Dictionary(metrics.compactMap { name, spent in PeopleMetric(rawValue: name).map { ($0, spent) } }, uniquingKeysWith: { $1 }),
                gate.first ?? PeopleSpending()
            )
        }
    }
}
