import RelayModel
import Synchronization

/// What readers of metrics see: the newest snapshot, taken every ``Limits/metricInterval`` whoever asks. Between two of them nothing changes,
/// so that nobody can watch single messages by asking often. Any thread.
package final class PublishedMetrics: Sendable {
    private struct State {
        var snapshot: MetricSnapshot
        var people = ""
        var history = MetricHistory()
    }

    private let state: Mutex<State>

    package init(_ first: MetricSnapshot) {
        var state = State(snapshot: first)
        state.history.add(first)
        self.state = Mutex(state)
    }

    /// - Parameter people: the figures about people that were published, in the same format as ``text``.
    package func publish(_ snapshot: MetricSnapshot, people: String = "") {
        state.withLock {
            $0.snapshot = snapshot
            $0.people = people
            $0.history.add(snapshot)
        }
    }

    package var snapshot: MetricSnapshot { state.withLock { $0.snapshot } }
    package var history: MetricHistory { state.withLock { $0.history } }
    /// For Prometheus.
    package var text: String {
        let (snapshot, people) = state.withLock { ($0.snapshot, $0.people) }
        return PrometheusText.text(snapshot) + people
    }
}
