import ServiceLifecycle

/// Turns a failed disk into the end of the daemon: its run throws when the store reports a failure.
struct StoreFailure: Service {
    struct Failed: Error {
        /// SQLite's or the system's words; no content.
        var reason: String
    }

    private let reasons: AsyncStream<String>
    private let continuation: AsyncStream<String>.Continuation

    init() { (reasons, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1)) }

    /// Any thread.
    func report(_ error: any Error) { continuation.yield("\(error)") }

    func run() async throws {
        for await reason in reasons.cancelOnGracefulShutdown() { throw Failed(reason: reason) }
    }
}
