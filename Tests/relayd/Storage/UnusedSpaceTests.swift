import Foundation
import RelayModel
import RelayTestSupport
import Testing

@testable import RelaySQLite

/// Rows that were moved and then deleted leave nothing in the file, and what is there stays whole.
@Suite struct UnusedSpaceTests {
    /// Rows of many sizes in a random order, so that pages are split and joined all the time.
    private static func fill(_ database: Database, seed: UInt64) throws -> [UInt64: [UInt64: [UInt8]]] {
        var random = SeededGenerator(seed: seed)
        try database.execute("PRAGMA secure_delete = ON")
        try database.execute("CREATE TABLE k (owner INTEGER NOT NULL, id INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID")
        // Rows that reach over several pages, too.
        try database.execute("CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT UNIQUE, body BLOB)")
        let insert = try database.prepare("INSERT INTO k VALUES (?, ?, ?)")
        let user = try database.prepare("INSERT INTO u (name, body) VALUES (?, ?)")
        var keys: [UInt64: [UInt64: [UInt8]]] = [:]
        for _ in 0..<80 {
            try database.transaction {
                try user.run {
                    $0.bind(1, "name\(UInt64.random(in: 0...UInt64.max, using: &random))")
                    $0.bind(2, [UInt8](repeating: 0x5A, count: Int.random(in: 0...9000, using: &random)))
                }
                for _ in 0..<100 {
                    let (owner, id) = (UInt64.random(in: 1...300, using: &random), UInt64.random(in: 0...UInt64(Int64.max), using: &random))
                    let key = (0..<Int.random(in: 16...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
                    keys[owner, default: [:]][id] = key
                    try insert.run {
                        $0.bind(1, owner)
                        $0.bind(2, id)
                        $0.bind(3, key)
                    }
                }
            }
            _ = try database.checkpoint()
        }
        return keys
    }

    /// - Parameter releasing: the file can give free pages back, and has pages that say where others hang.
    private func left(_ combining: Bool, seed: UInt64, releasing: Bool = false) throws -> Int {
        let directory = try TemporaryDirectory()
        let path = directory.file("store.db")
        let database = try Database(path: path, access: .readWriteCreate, combiningWrites: combining)
        if releasing {
            try database.execute("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
        }
        let keys = try Self.fill(database, seed: seed)
        let gone = keys.filter { $0.key % 2 == 0 }
        for owner in gone.keys { try database.execute("DELETE FROM k WHERE owner = \(owner)") }
        try database.execute("UPDATE u SET name = NULL, body = NULL WHERE id % 2 = 0")
        #expect(try database.emptyLog())
        #expect(try database.text("PRAGMA integrity_check") == "ok")
        let reopened = try Database(path: path, access: .readOnly)
        #expect(try reopened.text("PRAGMA integrity_check") == "ok")
        let check = try reopened.prepare("SELECT owner, id, key FROM k")
        var seen = 0
        while try check.step() {
            seen += 1
            #expect(keys[check.unsigned(0)]?[check.unsigned(1)] == check.bytes(2))
        }
        #expect(seen == keys.reduce(0) { $0 + ($1.key % 2 == 0 ? 0 : $1.value.count) })
        #expect(try reopened.integer("SELECT count(*) FROM u WHERE body IS NOT NULL AND replace(hex(body), '5A', '') = ''") == 40)
        // Eight bytes of a key are enough to know it by.
        let file = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let needles = Set(gone.values.flatMap(\.values).map { Self.word($0[0..<8]) })
        var traces = 0
        var word: UInt64 = 0
        for (index, byte) in file.enumerated() {
            word = word << 8 | UInt64(byte)
            if index >= 7, needles.contains(word) { traces += 1 }
        }
        return traces
    }

    private static func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    @Test(.timeLimit(.minutes(10)), arguments: [UInt64.random(in: 0..<1 << 32), 7]) func movedRowsLeaveNothing(seed: UInt64) throws {
        #expect(try left(true, seed: seed) == 0, "seed \(seed)")
        #expect(try left(true, seed: seed, releasing: true) == 0, "seed \(seed)")
        // SQLite alone leaves some: otherwise this would show nothing.
        #expect(try left(false, seed: seed) > 0, "seed \(seed)")
    }

    /// Such a page whose first entry is about a free page looks like the head of a tree's page without rows.
    @Test(.timeLimit(.minutes(10))) func freePagesAreFoundAgain() throws {
        let directory = try TemporaryDirectory()
        let database = try Database(path: directory.file("store.db"), access: .readWriteCreate, combiningWrites: true)
        try database.execute(
            "PRAGMA auto_vacuum = INCREMENTAL; VACUUM; PRAGMA secure_delete = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
        let insert = try database.prepare("INSERT INTO t (body) VALUES (zeroblob(3000))")
        try database.transaction { for _ in 0..<3000 { try insert.run() } }
        #expect(try database.emptyLog())
        // Over three of those pages.
        #expect(try database.integer("PRAGMA page_count") ?? 0 > 2 * 820 + 2)
        try database.execute("DELETE FROM t WHERE id % 100 != 0")
        #expect(try database.emptyLog())
        // What is in memory would hide what is on the disk.
        let reopened = try Database(path: directory.file("store.db"), access: .readWriteCreate, combiningWrites: true)
        #expect(try reopened.text("PRAGMA integrity_check") == "ok")
        let release = try reopened.prepare("PRAGMA incremental_vacuum")
        while try release.step() {}
        release.reset()
        #expect(try reopened.emptyLog())
        #expect(try reopened.text("PRAGMA integrity_check") == "ok")
        #expect(try reopened.integer("SELECT count(*) FROM t") == 30)
        #expect(try reopened.integer("PRAGMA page_count") ?? .max < 100)
    }

    @Test func pagesThatSayWhereOthersHang() {
        #expect([2, 822, 1642].allSatisfy { UnusedSpace.isPointerMap($0, pageBytes: 4096) })
        #expect(![1, 3, 821, 823, 262_145, 262_146].contains { UnusedSpace.isPointerMap($0, pageBytes: 4096) })
        // Where one would be on the page of the lock byte.
        let moved = stride(from: 512, through: 65_536, by: 1).first { bytes in
            bytes & (bytes - 1) == 0 && ((1 << 30) / bytes - 1) % (bytes / 5 + 1) == 0
        }
        if let moved { #expect(UnusedSpace.isPointerMap(Int64((1 << 30) / moved + 2), pageBytes: moved)) }
    }

    @Test func onlyWhatIsAPageOfATreeIsTouched() {
        func cleared(_ bytes: [UInt8], isFirst: Bool = false) -> Int {
            var page = bytes
            page.withUnsafeMutableBytes { UnusedSpace.clear($0, isFirst: isFirst) }
            return zip(page, bytes).count { $0 != $1 }
        }
        var leaf = [UInt8](repeating: 0xFF, count: 512)
        // A leaf of a table: no free blocks, one row, which begins at 500.
        leaf.replaceSubrange(0..<10, with: [13, 0, 0, 0, 1, 1, 244, 0, 1, 244])
        #expect(cleared(leaf) == 490)
        var first = [UInt8](repeating: 0xFF, count: 512)
        first.replaceSubrange(100..<110, with: leaf[0..<10])
        #expect(cleared(first, isFirst: true) == 390 && cleared(first) == 0)
        for (place, value) in [(0, 0), (0, 1), (0, 3), (3, 255), (5, 3), (1, 1), (7, 61), (9, 200), (8, 0)] as [(Int, UInt8)] {
            var wrong = leaf
            wrong[place] = value
            #expect(cleared(wrong) == 0, "\(place)")
        }
        #expect(cleared(Array(leaf[0..<511])) == 0 && cleared([]) == 0)
    }
}
