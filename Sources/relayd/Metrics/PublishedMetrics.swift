import RelayModel
import Synchronization

/// What readers of metrics see: the newest snapshot, taken every ``Limits/metricInterval`` whoever asks. Between two of them nothing changes,
/// so that nobody can watch single messages by asking often. Any thread.
package final class PublishedMetrics: Sendable {
    private struct State {
        var snapshot: MetricSnapshot
        var people = ""
        /// The interval before the newest snapshot had so many messages that no single one shows in a look at any moment.
        var isCrowded = false
        var history = MetricHistory()
    }

    private let state: Mutex<State>
    private let live: Metrics?
    /// Measures what is a time where it is shown.
    package let clock: any MonotonicClock

    /// - Parameter live: what snapshots are taken of, for ``look(at:)``.
    package init(_ first: MetricSnapshot, of live: Metrics? = nil) {
        self.live = live
        clock = live?.clock ?? SystemMonotonicClock()
        var state = State(snapshot: first)
        state.history.add(first)
        self.state = Mutex(state)
    }

    /// - Parameter people: the figures about people that were published, in the same format as ``text``.
    package func publish(_ snapshot: MetricSnapshot, people: String = "") {
        let accepted = SendResult.accepted.rawValue
        state.withLock {
            $0.isCrowded = snapshot.number(.sends, accepted) - $0.snapshot.number(.sends, accepted) >= Double(Limits.metricMessageStep)
            $0.snapshot = snapshot
            $0.people = people
            $0.history.add(snapshot)
        }
    }

    /// The newest snapshot; while at least ``Limits/metricMessageStep`` messages pass in an interval, one that is taken now.
    package func look(at now: Timestamp) -> (snapshot: MetricSnapshot, isLive: Bool) {
        let (snapshot, isCrowded) = state.withLock { ($0.snapshot, $0.isCrowded) }
        guard isCrowded, let live else { return (snapshot, false) }
        return (live.snapshot(at: now), true)
    }

    package var snapshot: MetricSnapshot { state.withLock { $0.snapshot } }
    package var history: MetricHistory { state.withLock { $0.history } }
    /// For Prometheus.
    package var text: String {
        let (snapshot, people) = state.withLock { ($0.snapshot, $0.people) }
        return PrometheusText.text(snapshot) + people
    }
}
