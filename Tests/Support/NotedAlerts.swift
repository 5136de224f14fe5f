import RelayModel
import Synchronization

/// Keeps what was raised and not settled, in order. Any thread.
package final class NotedAlerts: AlertSink {
    private let state = Mutex<[AlertEvent]>([])
    package init() {}
    package func raise(_ event: AlertEvent) { state.withLock { $0.append(event) } }
    package func settle(_ kind: AlertKind) { state.withLock { $0.removeAll { $0.kind == kind } } }
    package var all: [AlertEvent] { state.withLock { $0 } }
}
