import Foundation
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

/// Writes that are gathered before the kernel gets them must be there when it matters.
@Suite("Combined writes") struct WriteCombiningTests {
    /// After every commit and every checkpoint the files alone, as a crash would leave them, hold what was committed and nothing else.
    @Test(arguments: [UInt64.random(in: 0..<1 << 32), 1, 2]) func whatIsCommittedIsInTheFiles(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let folder = try TemporaryDirectory()
        let database = try Database(path: folder.file("store.db"), access: .readWriteCreate, combiningWrites: true)
        try database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        // So few pages that a large transaction writes some of them to the log, reads them again, and writes them once more.
        try database.execute("PRAGMA cache_size = 20")
        try database.execute("PRAGMA wal_autocheckpoint = 0")
        let insert = try database.prepare("INSERT OR REPLACE INTO rows (id, body) VALUES (?, randomblob(?))")
        let delete = try database.prepare("DELETE FROM rows WHERE id % 7 = ?")
        struct Undone: Error {}
        for round in 0..<25 {
            do {
                try database.transaction {
                    for _ in 0..<Int.random(in: 1...100, using: &random) {
                        try insert.run {
                            $0.bind(1, Int64.random(in: 0..<200, using: &random))
                            $0.bind(2, Int64.random(in: 0...5000, using: &random))
                        }
                    }
                    if Int.random(in: 0..<4, using: &random) == 0 {
                        try delete.run { $0.bind(1, Int64.random(in: 0..<7, using: &random)) }
                    }
                    if Int.random(in: 0..<5, using: &random) == 0 { throw Undone() }
                }
            } catch is Undone {}
            if Int.random(in: 0..<6, using: &random) == 0 { _ = try database.checkpoint() }
            let crashed = folder.file("crashed\(round).db")
            for part in ["", "-wal"] { try FileManager.default.copyItem(atPath: folder.file("store.db") + part, toPath: crashed + part) }
            let copy = try Database(path: crashed, access: .readWriteCreate)
            #expect(try copy.text("PRAGMA integrity_check") == "ok", "seed \(seed), round \(round)")
            #expect(try Self.content(of: copy) == Self.content(of: database), "seed \(seed), round \(round)")
        }
    }

    private static func content(of database: Database) throws -> String? {
        try database.text("SELECT group_concat(id || ':' || hex(substr(body, 1, 8)) || ':' || length(body)) FROM (SELECT * FROM rows ORDER BY id)")
    }

    /// A connection without this sees each commit at once, and takes turns with it.
    @Test func othersSeeTheSame() throws {
        let folder = try TemporaryDirectory()
        let combining = try Database(path: folder.file("store.db"), access: .readWriteCreate, combiningWrites: true)
        try combining.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        let plain = try Database(path: folder.file("store.db"), access: .readWriteCreate)
        for round in 0..<20 {
            let (one, other) = round % 2 == 0 ? (combining, plain) : (plain, combining)
            try one.transaction { try one.execute("INSERT INTO rows (body) VALUES (randomblob(50000))") }
            #expect(try Self.content(of: one) == Self.content(of: other))
            if round % 5 == 0 { _ = try one.checkpoint() }
        }
        #expect(try plain.integer("SELECT count(*) FROM rows") == 20)
    }
}
