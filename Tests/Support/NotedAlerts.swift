import RelayModel
import Synchronization

/// Keeps what was raised, in order. Any thread.
package final class NotedAlerts: AlertSink {
    private let state = Mutex<[AlertEvent]>([])
    package init() {}
    package func raise(_ event: AlertEvent) { state.withLock { $0.append(event) } }
    package var all: [AlertEvent] { state.withLock { $0 } }
}
