import RelayCrypto
import RelayModel
import RelaySQLite

/// What there is in a store's file, as far as a backup says it. Reads only; knows the tables by their names, because chatctl looks at stores of other
/// versions too.
package struct StoreContents: Sendable, Equatable {
    package var schema: Int
    /// No stamp at or above it was given out.
    package var stamp: UInt64
    /// By table.
    package var rows: [String: Int]

    package init(of database: Database) throws(SQLiteError) {
        schema = Int(try database.integer("PRAGMA user_version") ?? 0)
        let list = try database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
        var tables: [String] = []
        while try list.step() { tables.append(list.text(0) ?? "") }
        rows = [:]
        for table in tables where !table.contains("\"") {
            rows[table] = Int(try database.integer("SELECT count(*) FROM \"\(table)\"") ?? 0)
        }
        stamp = tables.contains("meta") ? UInt64(bitPattern: try database.integer("SELECT value FROM meta WHERE key = 'last_stamp'") ?? 0) : 0
    }

    /// Holds the operators' log and the proof of purge against their chains.
    /// - Returns: sentences; empty when all is well, and for what an older schema does not have.
    static func chains(of database: Database) throws(SQLiteError) -> [String] {
        var findings: [String] = []
        if try database.integer("SELECT count(*) FROM pragma_table_info('audit') WHERE name = 'commitment'") == 1 {
            var check = AuditCheck(kept: Limits.auditEntriesKept)
            let read = try database.prepare(
                "SELECT stamp, number, uid, operation, result, missed, subject, reason, salt, commitment, hash FROM audit ORDER BY stamp")
            while try read.step() {
                check.add(
                    AuditChainEntry(
                        number: Int(read.integer(1)), stamp: read.unsigned(0), uid: UInt32(truncatingIfNeeded: read.integer(2)),
                        operation: read.text(3) ?? "", result: read.text(4) ?? "", missed: Int(read.integer(5)), commitment: read.bytes(9)),
                    salt: read.isNull(8) ? nil : read.bytes(8), subject: read.text(6) ?? "", reason: read.text(7), hash: read.bytes(10))
            }
            check.finish()
            findings += check.findings.map { "the operators' log: \($0)" }
        }
        if try database.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'purges'") == 1 {
            let read = try database.prepare("SELECT entry, hash FROM purges ORDER BY stamp")
            var hash = HashChain.beginning
            var number = 0
            while try read.step() {
                number += 1
                hash = HashChain.purges.hash(read.text(0) ?? "", after: hash)
                guard hash == read.bytes(1) else {
                    findings.append("the proof of purge: entry \(number) was changed, or one before it")
                    break
                }
            }
        }
        return findings
    }
}
