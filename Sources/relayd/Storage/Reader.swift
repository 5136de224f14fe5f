import NIOCore
import RelayModel
import RelaySQLite

/// Typed reads over one read-only connection. Confined to one thread at a time; every call sees one snapshot per statement.
package final class Reader {
    private let database: Database
    private var prepared: [String: Statement] = [:]

    init(_ database: Database) { self.database = database }

    /// Everything that `body` reads is of one moment.
    func snapshot<Result>(_ body: () throws -> Result) throws -> Result { try database.snapshot(body) }

    /// Prepares once, binds, and maps the rows.
    func rows<Row>(
        _ sql: String, bind: (Statement) -> Void = { _ in }, upTo limit: Int = .max, _ map: (Statement) throws -> Row?
    ) throws -> [Row] {
        let statement = try statement(sql)
        defer { statement.reset() }
        bind(statement)
        var found: [Row] = []
        while found.count < limit, try statement.step() {
            guard let row = try map(statement) else { break }
            found.append(row)
        }
        return found
    }

    /// Prepares once. Whoever steps it resets it.
    func statement(_ sql: String) throws(SQLiteError) -> Statement {
        if let known = prepared[sql] { return known }
        let statement = try database.prepare(sql)
        prepared[sql] = statement
        return statement
    }

    static func buffer(_ statement: Statement, _ column: Int32) -> ByteBuffer {
        statement.withBytes(column) { ByteBuffer(bytes: $0) }
    }
}
