import Logging
import NIOCore
import Synchronization

/// Counts the connections of clients: those that speak HTTP (or nothing yet), which are bounded, and the WebSockets, so that a stopping
/// gateway can wait until the last one has gone. Any thread.
final class OpenConnections: Sendable {
    private struct State {
        var http = 0
        var warned: NIODeadline?
        var count = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    /// A flood must not fill the log.
    private static let betweenWarnings = TimeAmount.minutes(1)

    private let httpLimit: Int
    private let logger: Logger
    private let state = Mutex(State())

    init(httpLimit: Int, logger: Logger) {
        self.httpLimit = httpLimit
        self.logger = logger
    }

    // MARK: HTTP

    /// Counts a connection that was accepted; false when there are too many, and then it is not counted.
    func enterHTTP() -> Bool {
        let (admitted, warn) = state.withLock { state in
            if state.http < httpLimit {
                state.http += 1
                return (true, false)
            }
            let now = NIODeadline.now()
            if let warned = state.warned, now < warned + OpenConnections.betweenWarnings { return (false, false) }
            state.warned = now
            return (false, true)
        }
        if warn { logger.warning("too many connections that are not WebSockets: new ones are closed", metadata: ["limit": "\(httpLimit)"]) }
        return admitted
    }

    var http: Int { state.withLock { $0.http } }
    var webSockets: Int { state.withLock { $0.count } }

    /// It has ended, or has become a WebSocket.
    func leaveHTTP() { state.withLock { $0.http -= 1 } }

    // MARK: WebSockets

    func opened() { state.withLock { $0.count += 1 } }

    func closed() {
        let ready = state.withLock { state in
            state.count -= 1
            guard state.count == 0 else { return [CheckedContinuation<Void, Never>]() }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in ready { continuation.resume() }
    }

    /// Returns when no WebSocket is open.
    func drained() async {
        await withCheckedContinuation { continuation in
            let empty = state.withLock { state in
                if state.count > 0 { state.waiting.append(continuation) }
                return state.count == 0
            }
            if empty { continuation.resume() }
        }
    }
}
