import RelayModel
import Synchronization

/// What one address asks of the relay. Any thread.
final class AddressMeter: Meter {
    private struct State {
        var messages = TokenBucket()
        var requests = TokenBucket()
        var connections = TokenBucket()
        var signIns = TokenBucket()
        /// Connections that are not WebSockets.
        var pending = 0
    }

    private let state = Mutex(State())

    func isIdle(at now: Int64) -> Bool {
        state.withLock {
            $0.messages.isFull(at: now) && $0.requests.isFull(at: now) && $0.connections.isFull(at: now) && $0.signIns.isFull(at: now)
                && $0.pending == 0
        }
    }

    // All give nil, or nanoseconds to wait.

    func takeMessage(_ rate: Rate, at now: Int64) -> Int64? { state.withLock { $0.messages.take(rate, at: now) } }
    func takeRequest(_ rate: Rate, at now: Int64) -> Int64? { state.withLock { $0.requests.take(rate, at: now) } }
    func takeSignIn(_ rate: Rate, at now: Int64) -> Int64? { state.withLock { $0.signIns.take(rate, at: now) } }

    /// Counts a connection, which must ``leave()`` later; false when the address has too many or makes them too fast.
    func enter(_ rate: Rate?, pendingLimit: Int, at now: Int64) -> Bool {
        state.withLock { state in
            guard pendingLimit == 0 || state.pending < pendingLimit else { return false }
            if let rate, state.connections.take(rate, at: now) != nil { return false }
            state.pending += 1
            return true
        }
    }

    /// The connection has ended, or has become a WebSocket.
    func leave() { state.withLock { $0.pending -= 1 } }
}
