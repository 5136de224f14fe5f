import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayStorage

@Suite struct SchemaInventoryTests {
    /// Whoever adds a column says what it holds; otherwise an audit of privacy would find it.
    @Test func everyColumnIsListedAndNoOther() throws {
        let directory = try TemporaryDirectory()
        let database = try Database(path: directory.file("relay.db"), access: .readWriteCreate)
        try Store.migrate(database)
        let columns = try database.prepare(
            "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'")
        var found: [String: Set<String>] = [:]
        while try columns.step() { found[columns.text(0) ?? "", default: []].insert(columns.text(1) ?? "") }
        #expect(found.count > 15)
        #expect(Set(found.keys) == Set(Schema.contents.keys))
        let triggers = try database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        var names: Set<String> = []
        while try triggers.step() { names.insert(triggers.text(0) ?? "") }
        #expect(names == Schema.triggers)
        for (table, names) in found { #expect(Set((Schema.contents[table] ?? [:]).keys) == names, "\(table)") }
    }
}
