import RelayCrypto
import RelayModel
import RelaySQLite

/// The end of the operators' log, to which the next entry is chained.
struct AuditEnd {
    /// Of the last entry; 0: there is none.
    private(set) var number = 0
    private var hash = HashChain.beginning

    init() {}

    init(number: Int, hash: [UInt8]) {
        self.number = number
        self.hash = hash
    }

    init(of database: Database) throws(SQLiteError) {
        let last = try database.prepare("SELECT number, hash FROM audit ORDER BY stamp DESC LIMIT 1")
        guard try last.step() else { return }
        number = Int(last.integer(0))
        hash = last.bytes(1)
    }

    static let insertion = """
        INSERT INTO audit (stamp, number, uid, operation, result, missed, subject, reason, salt, commitment, hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """

    /// - Parameter insert: prepared from ``insertion``.
    mutating func append(_ actor: Actor, at stamp: Stamp, with insert: Statement) throws(SQLiteError) {
        let entry = AuditChainEntry(
            number: number + 1, stamp: stamp.rawValue, uid: actor.uid, operation: actor.operation, result: actor.result, missed: actor.missed,
            commitment: AuditChainEntry.commitment(salt: actor.salt, subject: actor.subject, reason: actor.reason))
        let next = entry.hash(after: hash)
        try insert.run {
            $0.bind(1, entry.stamp)
            $0.bind(2, entry.number)
            $0.bind(3, Int64(entry.uid))
            $0.bind(4, entry.operation)
            $0.bind(5, entry.result)
            $0.bind(6, entry.missed)
            $0.bind(7, actor.subject)
            $0.bind(8, actor.reason)
            $0.bind(9, actor.salt)
            $0.bind(10, entry.commitment)
            $0.bind(11, next)
        }
        (number, hash) = (entry.number, next)
    }
}

extension SQLiteEngine {
    /// Writes an entry of the operators' log, in the transaction of what it is about. The oldest one goes when there are enough.
    ///
    /// A failed one keeps its subject only when that names users who exist now, whom an erasure finds here later, or is a number: what
    /// operators type may be the name of somebody who was erased, or of anybody.
    func audit(_ actor: Actor, at stamp: Stamp) throws(SQLiteError) {
        var actor = actor
        if actor.result != Actor.done {
            actor.reason = nil
            if try !namesOnlyUsers(actor.subject) { actor.subject = "" }
        }
        try auditEnd.append(actor, at: stamp, with: statements.insertAudit)
        if auditEnd.number > Limits.auditEntriesKept {
            // One comes, one goes: the oldest is the first that this looks at.
            try database.prepare("DELETE FROM audit WHERE stamp = (SELECT min(stamp) FROM audit) AND number <= ?").run {
                $0.bind(1, auditEnd.number - Limits.auditEntriesKept)
            }
        }
    }

    private func namesOnlyUsers(_ subject: String) throws(SQLiteError) -> Bool {
        for word in subject.split(separator: " ") where !word.utf8.allSatisfy({ (48...57).contains($0) }) {
            let find = try database.prepare("SELECT 1 FROM users WHERE name = ? AND removed = 0")
            find.bind(1, String(word))
            guard try find.step() else { return false }
        }
        return true
    }
}

/// An entry of the operators' log, as it is read.
package struct AuditRow: Sendable {
    package var number: Int
    package var at: Timestamp
    package var actor: Actor
}

/// Which entries of the operators' log are looked for.
package struct AuditQuery: Sendable {
    /// Older ones are left out.
    package var since: Timestamp?
    /// Only those with smaller numbers.
    package var before: Int?
    /// Those that did not succeed.
    package var failedOnly = false
    package init(since: Timestamp? = nil, before: Int? = nil, failedOnly: Bool = false) {
        self.since = since
        self.before = before
        self.failedOnly = failedOnly
    }
}

// The operators' log.
extension Reader {
    static let auditColumns = "stamp, number, uid, operation, subject, reason, result, missed"

    /// From ``auditColumns``.
    static func auditRow(_ row: Statement) -> AuditRow {
        AuditRow(
            number: Int(row.integer(1)), at: Stamp(rawValue: row.unsigned(0)).time,
            actor: Actor(
                uid: UInt32(truncatingIfNeeded: row.integer(2)), operation: row.text(3) ?? "", subject: row.text(4) ?? "", reason: row.text(5),
                result: row.text(6) ?? "", missed: Int(row.integer(7)), salt: []))
    }

    /// The newest first.
    package func audit(_ query: AuditQuery = AuditQuery(), limit: Int) throws -> [AuditRow] {
        try rows(
            """
            SELECT \(Self.auditColumns) FROM audit WHERE stamp >= ?1 AND number < ?2 AND (?3 = 0 OR result <> '\(Actor.done)')
            ORDER BY stamp DESC LIMIT ?4
            """,
            bind: {
                $0.bind(1, query.since.map { Stamp(time: $0).rawValue } ?? 0)
                $0.bind(2, query.before ?? .max)
                $0.bind(3, query.failedOnly ? 1 : 0)
                $0.bind(4, limit)
            }, Reader.auditRow)
    }

    /// Adds the entries behind a stamp to a check of the chain, at most so many.
    /// - Returns: where to go on; nil at the end.
    package func check(_ check: AuditCheck, after stamp: UInt64, limit: Int) throws -> (check: AuditCheck, next: UInt64?) {
        var check = check
        let stamps: [UInt64] = try rows(
            """
            SELECT stamp, number, uid, operation, result, missed, subject, reason, salt, commitment, hash FROM audit WHERE stamp > ?
            ORDER BY stamp LIMIT ?
            """,
            bind: {
                $0.bind(1, stamp)
                $0.bind(2, limit)
            }
        ) { row in
            let entry = AuditChainEntry(
                number: Int(row.integer(1)), stamp: row.unsigned(0), uid: UInt32(truncatingIfNeeded: row.integer(2)), operation: row.text(3) ?? "",
                result: row.text(4) ?? "", missed: Int(row.integer(5)), commitment: row.bytes(9))
            check.add(
                entry, salt: row.isNull(8) ? nil : row.bytes(8), subject: row.text(6) ?? "", reason: row.text(7), hash: row.bytes(10))
            return entry.stamp
        }
        return (check, stamps.count == limit ? stamps.last : nil)
    }
}
