import NIOPosix
import RelayModel
import RelaySQLite
import Synchronization

/// Read-only connections, each used by one thread at a time.
package final class ReaderPool: Sendable {
    private let threads: NIOThreadPool
    private let state: Mutex<State>

    private struct State {
        var free: [Confined<Reader>]
        /// Those who asked for a sign of life.
        var whenMoved: [@Sendable () -> Void] = []

        mutating func takeWhenMoved() -> [@Sendable () -> Void] {
            if whenMoved.isEmpty { return [] }
            defer { whenMoved = [] }
            return whenMoved
        }
    }

    init(path: String, count: Int) throws(SQLiteError) {
        var readers: [Confined<Reader>] = []
        for _ in 0..<count { readers.append(Confined(try Reader(Database(path: path, access: .readOnly)))) }
        state = Mutex(State(free: readers))
        threads = NIOThreadPool(numberOfThreads: count)
        threads.start()
    }

    /// Runs `body` with a reader on one of the pool's threads and hands the result to `completion` there.
    package func read<Result: Sendable>(
        _ body: @escaping @Sendable (Reader) throws -> Result, completion: @escaping @Sendable (Swift.Result<Result, any Error>) -> Void
    ) {
        threads.submit { state in
            guard case .active = state else { return completion(.failure(WriterError.stopping)) }
            // There are as many readers as threads, so one is always free here.
            guard let reader = self.state.withLock({ $0.free.popLast() }) else { return completion(.failure(WriterError.overloaded)) }
            let result = Swift.Result { try body(reader.value) }
            let moved = self.state.withLock { state in
                state.free.append(reader)
                return state.takeWhenMoved()
            }
            completion(result)
            for call in moved { call() }
        }
    }

    package func read<Result: Sendable>(_ body: @escaping @Sendable (Reader) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in read(body) { continuation.resume(with: $0) } }
    }

    /// Calls back on one of the pool's threads when a read has ended, or soon when one of them is idle. Any thread.
    package func whenMoved(_ call: @escaping @Sendable () -> Void) {
        state.withLock { $0.whenMoved.append(call) }
        threads.submit { _ in for call in self.state.withLock({ $0.takeWhenMoved() }) { call() } }
    }

    func stop() async {
        try? await threads.shutdownGracefully()  // Fails only when it was shut down before.
    }
}
