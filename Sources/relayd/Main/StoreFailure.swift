import RelaySQLite
import ServiceLifecycle

/// Turns a failed disk into the end of the daemon: its run throws when the store reports a failure.
struct StoreFailure: Service {
    struct Failed: Error {
        /// SQLite's or the system's words; no content.
        var reason: String
        /// What the operator can do.
        var advice: String
    }

    private static let otherwise = "the disk did not do what it was asked: dmesg says why; what was acknowledged before is on it"

    private let reasons: AsyncStream<Failed>
    private let continuation: AsyncStream<Failed>.Continuation

    init() { (reasons, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1)) }

    /// Any thread.
    func report(_ error: any Error) { continuation.yield(Failed(reason: "\(error)", advice: (error as? SQLiteError)?.advice ?? Self.otherwise)) }

    func run() async throws {
        for await reason in reasons.cancelOnGracefulShutdown() { throw reason }
    }
}
