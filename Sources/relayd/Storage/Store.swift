import NIOCore
import RelayMetrics
import RelayModel
import RelaySQLite
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Why a store cannot be used.
package enum StoreError: Error, Sendable, CustomStringConvertible {
    case locked(path: String)
    /// With what to do, where that is known.
    case openFailed(path: String, String, hint: String? = nil)
    case damaged(path: String, String)
    case newer(path: String, found: Int, known: Int)
    case record(String)

    package var hint: String? {
        switch self {
        case .locked: "a store has one relayd: stop the other one, or name another store in [store] path"
        case .openFailed(_, _, let hint): hint
        case .damaged: "keep a copy of it, and restore a backup: chatctl backup restore"
        case .newer, .record: nil
        }
    }

    package var description: String {
        switch self {
        case .locked(let path): "the store \(path) is in use by another relayd"
        case .openFailed(let path, let why, _): "the store \(path) cannot be opened: \(why)"
        case .damaged(let path, let why): "the store \(path) is damaged: \(why)"
        case .newer(let path, let found, let known):
            "the store \(path) was written by a newer relayd (schema \(found), this one knows \(known)): install that version again"
        case .record(let why): "the command record cannot be written: \(why)"
        }
    }
}

/// The relay's store, opened: one writer, several readers, and the checkpoints that keep its log short.
package final class Store: Sendable {
    package let writer: Writer
    package let readers: ReaderPool
    package let path: String
    private let lock: FileLock
    private let checkpointer: Checkpointer
    /// Somebody looks through the whole file.
    let checking = Mutex(false)

    /// Opens or creates, locks, migrates and checks the store at `path`.
    ///
    /// - Parameters:
    ///   - lock: the store's, when it is held already.
    ///   - readers: read-only connections, each with a thread.
    ///   - record: file for ``CommandRecord``.
    ///   - metrics: where commits, waits and checkpoints are counted.
    ///   - observer: sees every batch that was committed.
    ///   - onFailure: called once, on any thread, when the disk failed; the process must end.
    package init(
        path: String, lock: FileLock? = nil, clock: any WallClock = SystemWallClock(), readers: Int = 2, record: String? = nil,
        metrics: Metrics = Metrics(), observer: (any CommitObserver)? = nil, onFailure: @escaping @Sendable (any Error) -> Void
    ) throws(StoreError) {
        self.path = path
        if let lock { self.lock = lock } else { self.lock = try FileLock(ofStore: path) }
        do {
            let database = try Database(path: path, access: .readWriteCreate, combiningWrites: true)
            try Store.check(database, path)
            try Store.prepare(database)
            try Store.migrate(database, path)
            try Store.noteRestore(database)
            // The pages that every batch touches stay in memory; what is deleted is overwritten.
            try database.execute("PRAGMA cache_size = -\(Limits.writerCacheBytes / 1024)")
            try database.execute("PRAGMA secure_delete = ON")
            database.countLogPages()
            let checkpointer = try Checkpointer(path: path, writing: database, metrics: metrics, onFailure: onFailure)
            self.checkpointer = checkpointer
            writer = Writer(
                engine: try SQLiteEngine(database: database), clock: clock,
                record: try record.map { path throws(StoreError) in try CommandRecord(path: path) }, metrics: metrics, observer: observer,
                afterCommit: { try checkpointer.committed() }, emptyLog: { await checkpointer.tryToEmptyLog() },
                forgetPages: { try database.execute("PRAGMA shrink_memory") }, onFailure: onFailure)
            self.readers = try ReaderPool(path: path, count: readers)
        } catch let error as StoreError {
            throw error
        } catch {
            throw StoreError.openFailed(path: path, String(describing: error), hint: (error as? SQLiteError)?.advice)
        }
    }

    /// Commits what is queued, then closes everything.
    package func close() async {
        await writer.stop()
        await readers.stop()
        await checkpointer.stop()
        // What was deleted must not stay behind in the log. After a failure of the disk nothing is touched any more.
        if !writer.hasFailed { checkpointer.emptyLog() }
        lock.release()
    }

    /// Bytes of the database file and its write-ahead log. Any thread.
    package var bytes: Int { Database.bytes(path) }

    /// Of the database file alone, and of its write-ahead log. Any thread.
    package var fileBytes: Int { Database.fileBytes(path) }
    package var logBytes: Int { Database.logBytes(path) }

    /// Stores up to this size are checked whole at the start; larger ones would delay it by minutes.
    private static let checkedWholeBytes = 256 * 1024 * 1024

    private static func check(_ database: Database, _ path: String) throws {
        guard Database.fileBytes(path) <= checkedWholeBytes else { return }
        let verdict = try database.text("PRAGMA quick_check(1)") ?? "no answer"
        guard verdict == "ok" else { throw StoreError.damaged(path: path, verdict) }
    }

    /// A new file can give free pages back while it is in use. Only an empty one can still be made so.
    private static func prepare(_ database: Database) throws {
        guard try database.integer("SELECT count(*) FROM sqlite_schema") == 0 else { return }
        try database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        try database.execute("VACUUM")
    }

    static func migrate(_ database: Database, _ path: String = "") throws { try StoreMigrations.current.run(on: database, path) }

    /// `chatctl backup restore` leaves a note: the operators' log says that the store is an older one, and who put it there.
    private static func noteRestore(_ database: Database) throws {
        func note(_ key: String) throws -> Int64? { try database.integer("SELECT value FROM meta WHERE key = '\(key)'") }
        guard let uid = try note("restored_uid"), let stamp = try note("last_stamp") else { return }
        let from = Timestamp(milliseconds: try note("restored_from_ms") ?? 0)
        try database.transaction {
            var end = try AuditEnd(of: database)
            // Nothing was stamped with this or more.
            try end.append(
                Actor(uid: UInt32(truncatingIfNeeded: uid), operation: "relayd/restore", subject: "", reason: "the store as of \(from)", salt: []),
                at: Stamp(rawValue: UInt64(bitPattern: stamp)), with: try database.prepare(AuditEnd.insertion))
            try database.execute("DELETE FROM meta WHERE key IN ('restored_ms', 'restored_from_ms', 'restored_uid')")
        }
    }
}

/// Keeps a second relayd away from the store: two writers with caches of their own would contradict each other.
package final class FileLock: Sendable {
    private let file: Int32

    /// - Parameter store: the path of the database.
    package init(ofStore store: String) throws(StoreError) {
        let path = store + ".lock"
        file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw .openFailed(
                path: store, String(cString: strerror(errno)),
                hint: "its directory must be there and relayd's own: install -d -m 700 -o relayd -g relayd DIRECTORY")
        }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            close(file)
            throw .locked(path: store)
        }
    }

    /// Unlocks by itself: a child that is being spawned may hold a copy of the descriptor, and with it the lock.
    func release() { flock(file, LOCK_UN) }

    deinit {
        release()
        close(file)
    }
}
