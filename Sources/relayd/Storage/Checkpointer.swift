import NIOPosix
import RelayMetrics
import RelayModel
import RelaySQLite
import Synchronization

/// Copies the write-ahead log back into the database: most of it on a thread and a connection of its own, because SQLite's automatic
/// checkpoint would do it inside a commit, and was the whole p99 of sends when it was measured. What was written meanwhile is little; the writer
/// copies that between two commits. Only then nothing is left, and SQLite begins the log anew instead of growing it for ever.
final class Checkpointer: Sendable {
    private enum State { case idle, copying, rest }

    private let thread = NIOThreadPool(numberOfThreads: 1)
    private let state = Mutex(State.idle)
    private let database: Confined<Database>
    private let writing: Confined<Database>
    private let metrics: Metrics
    private let onFailure: @Sendable (any Error) -> Void

    /// - Parameter writing: the writer's connection, which counts the log's pages; used on the writer's thread only.
    init(path: String, writing: Database, metrics: Metrics, onFailure: @escaping @Sendable (any Error) -> Void) throws(SQLiteError) {
        self.metrics = metrics
        self.onFailure = onFailure
        self.writing = Confined(writing)
        database = Confined(try Database(path: path, access: .readWriteCreate, combiningWrites: true))
        thread.start()
    }

    /// On the writer's thread, after every commit.
    /// - Throws: when the rest could not be copied; nothing can be trusted any more.
    func committed() throws {
        guard writing.value.logPages > Limits.logPages else { return }
        switch state.withLock({ $0 }) {
        case .copying: return
        case .idle:
            state.withLock { $0 = .copying }
            thread.submit { _ in
                let began = self.metrics.clock.nanoseconds()
                do { _ = try self.database.value.checkpoint() } catch { self.onFailure(error) }
                self.metrics.checkpointSeconds.record(nanoseconds: self.metrics.clock.nanoseconds() - began)
                self.state.withLock { $0 = .rest }
            }
        case .rest:
            state.withLock { $0 = .idle }
            _ = try writing.value.checkpoint()
        }
    }

    /// Copies the whole log back and leaves it empty. When nobody uses the store any more; what cannot be copied is copied at the next start.
    func emptyLog() { try? database.value.execute("PRAGMA wal_checkpoint(TRUNCATE)") }

    /// The same while the store is in use: false when somebody reads or writes all the time. Any thread; the work is done on the checkpointer's.
    /// Commits wait for at most some milliseconds.
    func tryToEmptyLog() async -> Bool {
        await withCheckedContinuation { continuation in
            thread.submit { state in
                guard case .active = state else { return continuation.resume(returning: false) }
                do {
                    // Most of it without holding anybody up.
                    _ = try self.database.value.checkpoint()
                    self.database.value.waitForLocks(.milliseconds(20))
                    defer { self.database.value.waitForLocks(.seconds(10)) }
                    continuation.resume(returning: try self.database.value.emptyLog())
                } catch {
                    self.onFailure(error)
                    continuation.resume(returning: false)
                }
            }
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
