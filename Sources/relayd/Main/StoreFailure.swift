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

    private let reasons: AsyncStream<Failed>
    private let continuation: AsyncStream<Failed>.Continuation

    init() { (reasons, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1)) }

    /// Any thread.
    func report(_ error: any Error) { continuation.yield(Failed(reason: "\(error)", advice: Self.advice(error))) }

    func run() async throws {
        for await reason in reasons.cancelOnGracefulShutdown() { throw reason }
    }

    private static func advice(_ error: any Error) -> String {
        // The low byte is SQLite's primary code; see sqlite3.h.
        switch (error as? SQLiteError).map({ $0.code & 0xff }) {
        case 13: "the file system of the store is full: free some space; systemd starts relayd again by itself"
        case 8: "the file system of the store is read-only: dmesg says why; systemd starts relayd again by itself"
        case 11, 26: "the store is damaged: keep a copy of it, and restore a backup"
        default: "the disk did not do what it was asked: dmesg says why; what was acknowledged before is on it"
        }
    }
}
