import RelayModel
import Synchronization

/// What readers of metrics see: the newest snapshot, taken every ``Limits/metricInterval`` whoever asks. Between two of them nothing changes,
/// so that nobody can watch single messages by asking often. Any thread.
package final class PublishedMetrics: Sendable {
    private struct State {
        var snapshot: MetricSnapshot
        var history = MetricHistory()
    }

    private let state: Mutex<State>

    package init(_ first: MetricSnapshot) {
        var state = State(snapshot: first)
        state.history.add(first)
        self.state = Mutex(state)
    }

    package func publish(_ snapshot: MetricSnapshot) {
        state.withLock {
            $0.snapshot = snapshot
            $0.history.add(snapshot)
        }
    }

    package var snapshot: MetricSnapshot { state.withLock { $0.snapshot } }
    package var history: MetricHistory { state.withLock { $0.history } }
    /// For Prometheus.
    package var text: String { PrometheusText.text(snapshot) }
}
