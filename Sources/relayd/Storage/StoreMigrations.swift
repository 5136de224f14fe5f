import RelayModel
import RelaySQLite

/// The steps from the first schema to this version's.
package struct StoreMigrations: Sendable {
    let steps: [Migration]

    package static let current = StoreMigrations(steps: Schema.migrations)

    /// The schema that they lead to.
    package var schema: Int { steps.count }

    /// One more, which tests let fail.
    package func adding(_ sql: String) -> StoreMigrations { StoreMigrations(steps: steps + [Migration(sql)]) }

    /// The schema of the store at `path`; nil when there is none, or nothing in it. Changes nothing.
    /// - Throws: ``StoreError/newer(path:found:known:)`` too.
    package func found(in path: String) throws(StoreError) -> Int? {
        guard Database.fileBytes(path) > 0 else { return nil }
        do {
            let database = try Database(path: path, access: .readOnly)
            guard try database.integer("SELECT count(*) FROM sqlite_schema") ?? 0 > 0 else { return nil }
            let found = Int(try database.integer("PRAGMA user_version") ?? 0)
            guard found <= schema else { throw StoreError.newer(path: path, found: found, known: schema) }
            return found
        } catch let error as StoreError {
            throw error
        } catch {
            throw .openFailed(path: path, "\(error)", hint: (error as? SQLiteError)?.advice)
        }
    }

    /// All steps that are missing, in one transaction: whatever fails leaves everything as it was.
    func run(on database: Database, _ path: String = "") throws {
        let found = Int(try database.integer("PRAGMA user_version") ?? 0)
        guard found <= schema else { throw StoreError.newer(path: path, found: found, known: schema) }
        guard found < schema else { return }
        try database.transaction {
            for number in found..<schema { try steps[number].run(on: database) }
            try database.execute("PRAGMA user_version = \(schema)")
        }
    }

    /// Migrates a store that nobody uses, and leaves nothing in its log.
    package func run(on path: String) throws {
        let database = try Database(path: path, access: .readWriteCreate, combiningWrites: true)
        try database.execute("PRAGMA secure_delete = ON")
        try run(on: database, path)
        _ = try database.emptyLog()
    }

    /// Migrates a copy that nobody needs afterwards, checks it, and says what came of it.
    /// - Returns: bytes of the migrated copy.
    package func rehearse(on copy: String) throws -> Int {
        let database = try Database(path: copy, access: .scratch)
        try run(on: database, copy)
        let verdict = try database.text("PRAGMA quick_check(1)") ?? "no answer"
        guard verdict == "ok" else { throw StoreError.damaged(path: "of the rehearsal", verdict) }
        return Database.fileBytes(copy)
    }
}
