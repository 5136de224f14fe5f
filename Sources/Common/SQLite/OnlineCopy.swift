import CSQLite

/// Copies a database page by page while others use it. Confined like its two connections.
///
/// The source's connection keeps one read transaction open: the copy is of one moment, and never begins anew because somebody writes. The write-ahead
/// log cannot begin anew as long, either, so it should not take longer than it must.
package final class OnlineCopy {
    private let source: Database
    private let destination: Database
    private var copy: OpaquePointer?

    /// - Parameter destination: an empty database that nobody else uses.
    package init(from source: Database, to destination: Database) throws(SQLiteError) {
        self.source = source
        self.destination = destination
        try source.execute("BEGIN")
        // The transaction begins with its first read.
        _ = try source.integer("SELECT count(*) FROM sqlite_schema")
        copy = sqlite3_backup_init(destination.handle, "main", source.handle, "main")
        guard copy != nil else { throw destination.error(sqlite3_errcode(destination.handle), doing: "beginning a copy") }
    }

    deinit {
        if let copy { sqlite3_backup_finish(copy) }
        sqlite3_exec(source.handle, "COMMIT", nil, nil, nil)
    }

    /// - Returns: true when everything is copied.
    package func step(pages: Int) throws(SQLiteError) -> Bool {
        switch sqlite3_backup_step(copy, Int32(clamping: pages)) {
        case SQLITE_OK: return false
        case SQLITE_DONE: return true
        case let code: throw destination.error(code, doing: "copying the store")
        }
    }

    /// Of the source, and how many are still to be copied: known after the first step.
    package var pages: Int { Int(sqlite3_backup_pagecount(copy)) }
    package var remaining: Int { Int(sqlite3_backup_remaining(copy)) }

    /// Writes what is left in memory. Once, when everything is copied.
    package func finish() throws(SQLiteError) {
        let code = sqlite3_backup_finish(copy)
        copy = nil
        guard code == SQLITE_OK else { throw destination.error(code, doing: "finishing a copy") }
    }
}
