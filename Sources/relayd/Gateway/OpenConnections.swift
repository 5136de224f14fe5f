import Synchronization

/// Counts the WebSockets, so that a stopping gateway can wait until the last one has gone. Any thread.
final class OpenConnections: Sendable {
    private struct State {
        var count = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

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
