import NIOPosix
import RelayModel
import RelaySQLite
import Synchronization

/// Read-only connections, each used by one thread at a time.
package final class ReaderPool: Sendable {
    private let threads: NIOThreadPool
    private let free: Mutex<[Confined<Reader>]>

    init(path: String, count: Int) throws(SQLiteError) {
        var readers: [Confined<Reader>] = []
        for _ in 0..<count { readers.append(Confined(try Reader(Database(path: path, access: .readOnly)))) }
        free = Mutex(readers)
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
            guard let reader = self.free.withLock({ $0.popLast() }) else { return completion(.failure(WriterError.overloaded)) }
            let result = Swift.Result { try body(reader.value) }
            self.free.withLock { $0.append(reader) }
            completion(result)
        }
    }

    package func read<Result: Sendable>(_ body: @escaping @Sendable (Reader) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in read(body) { continuation.resume(with: $0) } }
    }

    func stop() async {
        try? await threads.shutdownGracefully()  // Fails only when it was shut down before.
    }
}
