import RelayControl
import RelayModel
import RelaySQLite

/// Tables, columns and triggers that the store should not have: the place where something that nobody meant to keep would lie.
struct SchemaCheck {
    let tables: [PrivacyTableRecord]
    let triggers: Set<String>

    /// - Parameter path: the store, or a copy of it.
    func run(_ path: String, _ found: inout PrivacyReport.Findings) throws(PrivacySkip) -> String {
        let expected = Dictionary(tables.map { ($0.name, Set($0.columns.map(\.name))) }, uniquingKeysWith: { first, _ in first })
        do {
            let database = try Database(path: path, access: .readOnly)
            let columns = try database.prepare(
                """
                SELECT m.name, m.type, c.name FROM sqlite_schema m LEFT JOIN pragma_table_xinfo(m.name) c
                WHERE m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid
                """)
            var seen = 0
            var told: Set<String> = []
            while try columns.step() {
                let (name, type, column) = (columns.text(0) ?? "", columns.text(1) ?? "", columns.text(2) ?? "")
                if type == "index" || type == "trigger" && triggers.contains(name) { continue }
                guard type == "table", let known = expected[name] else {
                    if told.insert(name).inserted { found.add("\(path), \(name)", "relayd has no such \(type)") }
                    continue
                }
                seen += 1
                if !known.contains(column) { found.add("\(path), \(name).\(column)", "relayd has no such column") }
            }
            return "\(seen) columns in \(expected.count) tables"
        } catch {
            throw PrivacySkip(reason: "\(path) cannot be read: \(error)")
        }
    }
}
