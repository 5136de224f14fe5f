import NIOPosix
import RelayModel
import RelaySQLite
import Synchronization

/// What a check of the store found.
package struct StoreCheck: Sendable, Equatable {
    /// Of the file, and the one that this relayd writes.
    package var schema: Int
    package var knownSchema: Int
    /// In SQLite's words, at most ``Limits/storeCheckProblems``.
    package var problems: [String]
    /// There was not time enough for all of it.
    package var isUnfinished: Bool
    /// The last stamp that was stored, rounded up to a second.
    package var lastStamp: Stamp
}

/// Why a store was not checked.
package enum StoreCheckError: Error, Sendable {
    /// One at a time: each reads the whole file.
    case running
}

extension Store {
    /// Looks through the whole file on a connection of its own, so that readers stay free. Takes seconds for each gigabyte, and ends what it does not
    /// finish in time.
    package func check(within bound: Duration) async throws -> StoreCheck {
        let isFirst = checking.withLock { checking in
            defer { checking = true }
            return !checking
        }
        guard isFirst else { throw StoreCheckError.running }
        defer { checking.withLock { $0 = false } }
        let database = Confined(try Database(path: path, access: .readOnly))
        let interrupter = database.value.interrupter
        let timer = Task {
            try await Task.sleep(for: bound)
            interrupter.interrupt()
        }
        defer { timer.cancel() }
        return try await NIOThreadPool.singleton.runIfActive {
            let database = database.value
            let pages = try database.quickCheck(problems: Limits.storeCheckProblems)
            return StoreCheck(
                schema: Int(try database.integer("PRAGMA user_version") ?? 0), knownSchema: Schema.migrations.count,
                problems: pages.problems, isUnfinished: pages.isUnfinished,
                lastStamp: Stamp(rawValue: UInt64(bitPattern: try database.integer("SELECT value FROM meta WHERE key = 'last_stamp'") ?? 0)))
        }
    }
}
