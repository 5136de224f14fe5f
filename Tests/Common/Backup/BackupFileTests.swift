import Foundation
import RelayBackup
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

/// Backups as files: made beside a writer, checked, copied, and told apart from everything that is none.
@Suite struct BackupFileTests {
    struct Fixed: WallClock {
        var time = Timestamp(milliseconds: 1_795_253_400_250)
        func now() -> Timestamp { time }
    }

    private let directory: TemporaryDirectory
    private let store: String
    private let database: Database

    init() throws {
        directory = try TemporaryDirectory()
        store = directory.file("relay.db")
        database = try Database(path: store, access: .readWriteCreate)
        try database.execute(
            """
            CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
            CREATE TABLE messages (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
            INSERT INTO meta VALUES ('last_stamp', 77);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                INSERT INTO messages SELECT i, randomblob(900) FROM n;
            PRAGMA user_version = 3;
            """)
    }

    private func folder(_ clock: Fixed = Fixed()) -> BackupFolder { BackupFolder(path: directory.file("backups"), clock: clock) }

    @Test(.timeLimit(.minutes(10))) func aBackupIsOfOneMomentWhileOthersWrite() throws {
        var steps = 0
        let (name, manifest) = try folder().create(
            of: store, relayVersion: "1", reason: .operation,
            rest: { _ in
                steps += 1
                // What comes after its beginning is not in it.
                try? database.execute("INSERT INTO messages (body) VALUES (randomblob(5000)); UPDATE messages SET body = x'00' WHERE id = \(steps)")
            })
        #expect(steps >= 3 && name == "relay-20261121T093000Z.backup")
        #expect(manifest.rows == ["messages": 5000, "meta": 1] && manifest.stamp == "77" && manifest.schema == 3)
        let file = folder().file(name)
        let verdict = try file.verify()
        #expect(verdict.findings == [] && verdict.manifest == manifest)
        let mode = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try file.extract(to: directory.file("again.db"))
        let again = try Database(path: directory.file("again.db"), access: .readWriteCreate)
        #expect(try again.integer("SELECT count(*) FROM messages WHERE length(body) = 900") == 5000)
        // The folder has that file and no other, and reading left nothing beside it.
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("backups")) == [name])
        // Twice in a second.
        #expect(try folder().create(of: store, relayVersion: "1", reason: .operation).name == "relay-20261121T093000Z-2.backup")
    }

    @Test func aBrokenFileIsNeverTakenForABackup() throws {
        let (name, manifest) = try folder().create(of: store, relayVersion: "1", reason: .operation)
        let whole = try Data(contentsOf: URL(fileURLWithPath: folder().file(name).path))
        let path = directory.file("broken")
        func broken(_ change: (inout Data) -> Void) throws -> BackupFile {
            var data = whole
            change(&data)
            try data.write(to: URL(fileURLWithPath: path))
            return BackupFile(path: path)
        }
        #expect(throws: BackupError.notABackup) { try broken { $0 = Data("hello".utf8) }.verify() }
        #expect(throws: BackupError.notABackup) { try broken { $0 = Data(repeating: 1, count: 100_000) }.verify() }
        #expect(throws: BackupError.damaged("its end is missing, or it is a store and no backup")) { try broken { $0.removeLast(5000) }.verify() }
        #expect(throws: BackupError.self) { try broken { $0.removeFirst(4096) }.verify() }
        #expect(throws: BackupError.damaged("its description was changed")) { try broken { $0[$0.count - 4000] ^= 1 }.verify() }
        #expect(throws: BackupError.unreadable("No such file or directory")) { try BackupFile(path: directory.file("nothing")).verify() }
        #expect(throws: BackupError.notABackup) { try BackupFile(path: directory.file("backups")).verify() }
        // A byte anywhere in the copy, also in one that nothing reads.
        for place in [20, 4096 + 17, manifest.databaseBytes / 2, manifest.databaseBytes - 1] {
            let file = try broken { $0[place] ^= 0x10 }
            #expect(try file.verify().findings == ["the copy was changed: its hash is not the one it was made with"])
            #expect(throws: BackupError.damaged("its hash is not the one it was made with")) { try file.extract(to: directory.file("out.db")) }
            #expect(!FileManager.default.fileExists(atPath: directory.file("out.db")))
        }
    }

    @Test func aCopyHasItsNameWhenItIsWhole() throws {
        let file = folder().file(try folder().create(of: store, relayVersion: "1", reason: .operation).name)
        let target = directory.file("carried.backup")
        func isThere(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
        // Somebody was interrupted before.
        try Data("half".utf8).write(to: URL(fileURLWithPath: target + ".partial"))
        var steps = 0
        try file.copy(to: target) { _ in
            steps += 1
            #expect(!isThere(target) && isThere(target + ".partial"))
        }
        #expect(steps > 0 && isThere(target) && !isThere(target + ".partial"))
        #expect(try BackupFile(path: target).verify().findings == [])
        // What is there stays, also when it came meanwhile.
        let taken = BackupError.failed("\(target) cannot be made: File exists")
        #expect(throws: taken) { try file.copy(to: target) }
        unlink(target)
        #expect(throws: taken) { try file.copy(to: target) { _ in try? Data("mine".utf8).write(to: URL(fileURLWithPath: target)) } }
        #expect(try String(contentsOfFile: target, encoding: .utf8) == "mine")
        #expect(!isThere(target + ".partial"))
    }

    @Test func whatIsStoppedLeavesNothing() throws {
        var asked = 0
        #expect(throws: BackupError.stopped) {
            _ = try folder().create(
                of: store, relayVersion: "1", reason: .operation,
                isCancelled: {
                    asked += 1
                    return asked > 2
                })
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("backups")) == [])
        // What a process that died left is gone with the next one.
        try Data("x".utf8).write(to: URL(fileURLWithPath: directory.file("backups/relay-1.backup.partial")))
        let name = try folder().create(of: store, relayVersion: "1", reason: .operation).name
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("backups")) == [name])
    }

    /// A copy that may turn out not to be wanted: nobody deletes it while the folder is held, and whoever comes next does.
    @Test func whatIsSetAsideIsKeptWhileTheFolderIsHeld() throws {
        var hold: BackupFolderHold? = try folder().hold()
        let name = try folder().create(of: store, relayVersion: "1", reason: .upgrade, hold: hold).name
        let aside = try folder().setAside(name)
        #expect(throws: BackupError.running) { try folder().create(of: store, relayVersion: "1", reason: .operation) }
        #expect(try aside.verify().findings == [] && folder().entries().isEmpty)
        try folder().giveBack(name)
        #expect(try folder().entries().map(\.name) == [name])
        _ = try folder().setAside(name)
        hold = nil
        let next = try folder().create(of: store, relayVersion: "1", reason: .operation).name
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("backups")) == [next])
    }

    /// Looking takes nothing from anybody, and leaves nothing.
    @Test func whoHasTheStoreIsSeen() throws {
        let restore = Restore(backup: folder().file("none"), store: store, clock: Fixed())
        #expect(!restore.isLive)
        #expect(!FileManager.default.fileExists(atPath: store + ".lock"))
        let lock = open(store + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(lock) }
        #expect(!restore.isLive)
        #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
        #expect(restore.isLive)
        flock(lock, LOCK_UN)
        #expect(!restore.isLive)
        #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
    }

    @Test func theLastGoodOneStays() throws {
        var names: [String] = []
        for day in 0..<5 {
            let clock = Fixed(time: Timestamp(milliseconds: Fixed().time.milliseconds + Int64(day) * 86_400_000))
            names.append(try folder(clock).create(of: store, relayVersion: "1", reason: .operation).name)
        }
        try Data("no backup".utf8).write(to: URL(fileURLWithPath: directory.file("backups/relay-x.backup")))
        let later = folder(Fixed(time: Timestamp(milliseconds: Fixed().time.milliseconds + 40 * 86_400_000)))
        func gone(_ keep: Int?, _ days: Int?) throws -> [String] { try later.expendable(keep: keep, days: days).map(\.name).sorted() }
        #expect(try gone(2, nil) == Array(names[0..<3]))
        #expect(try gone(nil, 37) == Array(names[0..<3]))
        #expect(try gone(4, 37) == Array(names[0..<1]))
        #expect(try gone(0, 0) == Array(names[0..<4]) && gone(nil, 1) == Array(names[0..<4]))
        #expect(try gone(nil, nil).isEmpty && gone(9, nil).isEmpty)
        for entry in try later.expendable(keep: 1, days: nil) { try later.remove(entry) }
        #expect(try later.entries().map(\.name) == [names[4], "relay-x.backup"])
    }
}
