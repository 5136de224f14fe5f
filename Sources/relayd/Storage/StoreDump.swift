import RelaySQLite

/// Every table of a store as text, for comparing two stores byte for byte.
package enum StoreDump {
    /// Table name → its rows in key order, each with every column in SQLite's `quote()` form.
    package static func tables(ofStoreAt path: String) throws -> [String: [String]] {
        let database = try Database(path: path, access: .readOnly)
        var result: [String: [String]] = [:]
        for (table, order) in Schema.tables {
            let probe = try database.prepare("SELECT name FROM pragma_table_info('\(table)') ORDER BY cid")
            var columns: [String] = []
            while try probe.step() { columns.append(probe.text(0) ?? "") }
            let statement = try database.prepare(
                "SELECT \(columns.map { "quote(\($0))" }.joined(separator: " || ',' || ")) FROM \(table) ORDER BY \(order)")
            var rows: [String] = []
            while try statement.step() { rows.append(statement.text(0) ?? "") }
            result[table] = rows
        }
        return result
    }
}
