import CSQLite

/// What SQLite reports: the extended result code, its message, and what was being done.
package struct SQLiteError: Error, CustomStringConvertible {
    package let code: Int32
    package let message: String
    package let doing: String

    /// The disk is full, read-only or failing: nothing that the caller can mend by trying again.
    package var isDiskFailure: Bool { [SQLITE_FULL, SQLITE_IOERR, SQLITE_READONLY, SQLITE_CORRUPT, SQLITE_NOTADB].contains(code & 0xff) }
    /// There is no room for it.
    package var isFull: Bool { code & 0xff == SQLITE_FULL }
    package var isConstraint: Bool { code & 0xff == SQLITE_CONSTRAINT }

    /// What an operator can do about a store that fails.
    package var advice: String {
        switch code & 0xff {
        case SQLITE_FULL: "the file system of the store is full: free some space; systemd starts relayd again by itself"
        case SQLITE_READONLY: "the file system of the store is read-only: dmesg says why; systemd starts relayd again by itself"
        case SQLITE_CORRUPT, SQLITE_NOTADB: "the store is damaged: keep a copy of it, and restore a backup"
        case SQLITE_CANTOPEN, SQLITE_PERM: "the store and its directory must be relayd's own; chatctl check files says what is not"
        default: "the disk did not do what it was asked: dmesg says why; what was acknowledged before is on it"
        }
    }

    /// A statement of many lines is told by its first one.
    package var description: String { "SQLite error \(code) while \(doing.prefix { $0 != "\n" }): \(message)" }
}

/// One connection to a database file through the system's SQLite.
///
/// Confined to one thread or queue at a time: the connection is opened without SQLite's own mutex.
package final class Database {
    package enum Access {
        case readWriteCreate, readOnly
        /// A file that is there, and that nobody else uses yet. Nothing is flushed, and what fails leaves it broken: the caller flushes it, or removes it.
        case scratch
        /// To read a file that nobody writes to, and that leaves nothing beside it.
        case immutable
    }

    let handle: OpaquePointer
    /// For other threads.
    package let interrupter: Interrupter
    private let log = LogLength()

    private final class LogLength { var pages = 0 }

    /// Opens in WAL mode with `synchronous=FULL` and checks that both are in force.
    /// - Parameters:
    ///   - combiningWrites: for a connection that writes much (``WriteCombining``).
    ///   - isURI: the path is a `file:` URI with parameters of SQLite.
    package init(path: String, access: Access, combiningWrites: Bool = false, isURI: Bool = false) throws(SQLiteError) {
        var opened: OpaquePointer?
        let flags =
            switch access {
            case .readWriteCreate: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
            case .readOnly: SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
            case .scratch: SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
            case .immutable: SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
            }
        let name = access == .immutable ? Self.address(path) : path
        let code = sqlite3_open_v2(name, &opened, isURI ? flags | SQLITE_OPEN_URI : flags, combiningWrites ? WriteCombining.name : nil)
        guard code == SQLITE_OK, let opened else {
            let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
            sqlite3_close_v2(opened)
            throw SQLiteError(code: code, message: message, doing: "opening the database")
        }
        handle = opened
        interrupter = Interrupter(opened)
        sqlite3_busy_timeout(handle, 10_000)
        try execute("PRAGMA foreign_keys=ON")
        if access == .readWriteCreate {
            try execute("PRAGMA journal_mode=WAL")
            try execute("PRAGMA synchronous=FULL")
            let mode = try text("PRAGMA journal_mode") ?? ""
            let synchronous = try integer("PRAGMA synchronous") ?? -1
            guard mode == "wal", synchronous == 2 else {
                throw SQLiteError(
                    code: SQLITE_MISUSE, message: "journal_mode is \(mode), synchronous is \(synchronous); wal and 2 (FULL) are needed",
                    doing: "checking the durability settings")
            }
        }
        if access == .scratch { try execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF") }
    }

    deinit {
        interrupter.end()
        sqlite3_close_v2(handle)
    }

    /// A path as a URI (RFC 3986) that says that the file does not change.
    private static func address(_ path: String) -> String {
        let digits = Array("0123456789ABCDEF")
        let escaped = path.utf8.map { byte -> String in
            switch byte {
            case 48...57, 65...90, 97...122, UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                String(UnicodeScalar(byte))
            default: "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
        return "file:\(escaped.joined())?immutable=1"
    }

    /// Runs statements that take no parameters and give no rows.
    package func execute(_ sql: String) throws(SQLiteError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw error(code, doing: sql) }
    }

    /// Prepares a statement for the life of the connection.
    package func prepare(_ sql: String) throws(SQLiteError) -> Statement {
        var prepared: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let prepared else { throw error(code, doing: sql) }
        return Statement(prepared, of: self)
    }

    /// The first column of the first row, if there is one.
    package func integer(_ sql: String) throws(SQLiteError) -> Int64? {
        let statement = try prepare(sql)
        return try statement.step() ? statement.integer(0) : nil
    }

    /// The first column of the first row, if there is one.
    package func text(_ sql: String) throws(SQLiteError) -> String? {
        let statement = try prepare(sql)
        return try statement.step() ? statement.text(0) : nil
    }

    /// Runs `body` in one transaction that takes the write lock at once; rolls back when it throws.
    package func transaction<Result>(_ body: () throws -> Result) throws -> Result {
        try execute("BEGIN IMMEDIATE")
        do {
            let result = try body()
            try execute("COMMIT")
            return result
        } catch {
            if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
            throw error
        }
    }

    /// Runs `body` in one read transaction: all its statements see the same state.
    package func snapshot<Result>(_ body: () throws -> Result) throws -> Result {
        try execute("BEGIN")
        // Nothing was written, so ending the transaction cannot fail in a way that matters.
        defer { sqlite3_exec(handle, "COMMIT", nil, nil, nil) }
        return try body()
    }

    /// Rows that the last statement changed.
    package var changes: Int { Int(sqlite3_changes64(handle)) }

    /// Pages in the write-ahead log after this connection's last commit, since the log last began anew. Only on a connection that
    /// ``countLogPages()`` was called on.
    package var logPages: Int { log.pages }

    /// Begins to count ``logPages``. Takes the place of the automatic checkpoint, which uses the same hook.
    package func countLogPages() {
        sqlite3_wal_hook(
            handle,
            { context, _, _, pages in
                if let context { Unmanaged<LogLength>.fromOpaque(context).takeUnretainedValue().pages = Int(pages) }
                return SQLITE_OK
            }, Unmanaged.passUnretained(log).toOpaque())
    }

    /// Copies what it can of the write-ahead log into the database file without waiting for readers or writers.
    /// - Returns: the log's length and how much of it has been copied, in pages.
    package func checkpoint() throws(SQLiteError) -> (logPages: Int, copiedPages: Int) {
        var log: Int32 = 0
        var copied: Int32 = 0
        let code = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, &log, &copied)
        guard code == SQLITE_OK || code == SQLITE_BUSY else { throw error(code, doing: "checkpointing") }
        return (Int(log), Int(copied))
    }

    /// Copies the whole write-ahead log into the database file and leaves it empty. Waits for others for as long as the connection waits for a lock, and
    /// whoever writes waits meanwhile.
    /// - Returns: false when somebody still reads or writes; then nothing is lost, and it can be tried again.
    package func emptyLog() throws(SQLiteError) -> Bool {
        let code = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
        guard code == SQLITE_OK || code & 0xff == SQLITE_BUSY || code & 0xff == SQLITE_LOCKED else { throw error(code, doing: "emptying the log") }
        return code == SQLITE_OK
    }

    /// How long this connection waits for a lock that another one has; 10 seconds until this says otherwise.
    package func waitForLocks(_ patience: Duration) {
        sqlite3_busy_timeout(handle, Int32(clamping: patience.components.seconds * 1000 + patience.components.attoseconds / 1_000_000_000_000_000))
    }

    func error(_ code: Int32, doing: String) -> SQLiteError {
        SQLiteError(code: code, message: String(cString: sqlite3_errmsg(handle)), doing: doing)
    }
}

/// A prepared statement. Bind from 1, step, read columns from 0, reset. Confined like its ``Database``.
package final class Statement {
    private let handle: OpaquePointer
    private let database: Database

    fileprivate init(_ handle: OpaquePointer, of database: Database) {
        self.handle = handle
        self.database = database
    }

    deinit { sqlite3_finalize(handle) }

    // Tells SQLite to copy the bytes (SQLITE_TRANSIENT) or that they outlive the step (SQLITE_STATIC).
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    package func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }
    package func bind(_ index: Int32, _ value: UInt64) { sqlite3_bind_int64(handle, index, Int64(bitPattern: value)) }
    package func bind(_ index: Int32, _ value: Int) { sqlite3_bind_int64(handle, index, Int64(value)) }
    package func bindNull(_ index: Int32) { sqlite3_bind_null(handle, index) }

    package func bind(_ index: Int32, _ value: String?) {
        guard var value else { return bindNull(index) }
        _ = value.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                sqlite3_bind_text(handle, index, $0.baseAddress ?? Statement.empty, Int32($0.count), Statement.transient)
            }
        }
    }

    package func bind(_ index: Int32, _ value: [UInt8]) {
        value.withUnsafeBytes { bind(index, copying: $0) }
    }

    package func bind(_ index: Int32, copying bytes: UnsafeRawBufferPointer) {
        sqlite3_bind_blob64(handle, index, bytes.baseAddress ?? UnsafeRawPointer(Statement.empty), UInt64(bytes.count), Statement.transient)
    }

    /// The bytes must stay where they are until the statement is stepped and reset.
    package func bind(_ index: Int32, borrowing bytes: UnsafeRawBufferPointer) {
        sqlite3_bind_blob64(handle, index, bytes.baseAddress ?? UnsafeRawPointer(Statement.empty), UInt64(bytes.count), nil)
    }

    /// True when there is a row to read.
    package func step() throws(SQLiteError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code:
            let failure = database.error(code, doing: String(cString: sqlite3_sql(handle)))
            sqlite3_reset(handle)
            throw failure
        }
    }

    /// Ready for the next binding; lets go of the read transaction.
    package func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    /// Binds, steps once and resets: for statements that give no rows.
    package func run(_ bind: (Statement) -> Void = { _ in }) throws(SQLiteError) {
        bind(self)
        defer { reset() }
        _ = try step()
    }

    package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }
    package func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    package func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: sqlite3_column_int64(handle, column)) }

    package func text(_ column: Int32) -> String? {
        guard let start = sqlite3_column_text(handle, column) else { return nil }
        return String(decoding: UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))), as: UTF8.self)
    }

    package func bytes(_ column: Int32) -> [UInt8] { withBytes(column) { Array($0) } }

    /// The column's bytes in place; valid inside `body` only.
    package func withBytes<Result>(_ column: Int32, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        let start = sqlite3_column_blob(handle, column)
        return try body(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }

    package var columnCount: Int32 { sqlite3_column_count(handle) }

    /// A one-byte place for empty strings and blobs: a null pointer would bind NULL.
    nonisolated(unsafe) private static let empty = UnsafePointer(UnsafeMutablePointer<CChar>.allocate(capacity: 1))
}
