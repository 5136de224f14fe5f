import CSQLite
import Synchronization

/// What a look through a whole database found.
package struct QuickCheck: Sendable, Equatable {
    /// SQLite's words, at most as many as were asked for; without row numbers, which may be identifiers.
    package var problems: [String]
    /// It took too long and was ended: what was looked at until then is sound.
    package var isUnfinished: Bool
}

/// Ends what a connection is doing, from any thread.
package final class Interrupter: Sendable {
    private struct Target: @unchecked Sendable { var handle: OpaquePointer? }
    private let target: Mutex<Target>

    init(_ handle: OpaquePointer) { target = Mutex(Target(handle: handle)) }

    /// Statements that run end with an error. Nothing happens when the connection is closed.
    package func interrupt() { target.withLock { if let handle = $0.handle { sqlite3_interrupt(handle) } } }

    /// The connection is about to be closed.
    func end() { target.withLock { $0.handle = nil } }
}

extension Database {
    /// Looks through all pages and rows: reads the whole file. Others may read and write meanwhile; the write-ahead log grows as long as it takes.
    /// - Parameter problems: ends after so many.
    package func quickCheck(problems limit: Int) throws(SQLiteError) -> QuickCheck {
        do throws(SQLiteError) {
            let statement = try prepare("PRAGMA quick_check(\(limit))")
            var found: [String] = []
            while try statement.step() { if let line = statement.text(0), line != "ok" { found.append(Self.withoutRows(line)) } }
            return QuickCheck(problems: found, isUnfinished: false)
        } catch  where error.code & 0xff == SQLITE_INTERRUPT {
            return QuickCheck(problems: [], isUnfinished: true)
        }
    }

    private static func withoutRows(_ line: String) -> String { line.replacing(/(row|rowid|key) -?[0-9]+/) { "a \($0.output.1)" } }
}
