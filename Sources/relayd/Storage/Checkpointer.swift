import NIOPosix
import RelayModel
import RelaySQLite
import Synchronization

/// Copies the write-ahead log back into the database on a thread and a connection of its own: SQLite's automatic checkpoint would
/// do it inside a commit, and was the whole p99 of sends when it was measured.
final class Checkpointer: Sendable {
    private let path: String
    private let thread = NIOThreadPool(numberOfThreads: 1)
    private let busy = Mutex(false)
    private let database: Confined<Database>
    private let onFailure: @Sendable (any Error) -> Void

    /// Commits between two looks at the log's size.
    private static let interval = 64
    /// The log is copied when it is longer: a few hundred commits of full batches, quickly read back after a crash.
    private static let logBytes = 16 * 1024 * 1024

    init(path: String, onFailure: @escaping @Sendable (any Error) -> Void) throws(SQLiteError) {
        self.path = path
        self.onFailure = onFailure
        database = Confined(try Database(path: path, access: .readWriteCreate))
        thread.start()
    }

    /// On the writer's thread, after every commit.
    func committed(_ commits: Int) {
        guard commits % Checkpointer.interval == 0, Store.size(path + "-wal") > Checkpointer.logBytes else { return }
        let begin = busy.withLock { busy in
            defer { busy = true }
            return !busy
        }
        guard begin else { return }
        thread.submit { _ in
            do { _ = try self.database.value.checkpoint() } catch { self.onFailure(error) }
            self.busy.withLock { $0 = false }
        }
    }

    func stop() async {
        try? await thread.shutdownGracefully()  // Fails only when it was shut down before.
    }
}

/// A value that only one thread at a time touches, by the owner's construction and not by the compiler's proof.
struct Confined<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
