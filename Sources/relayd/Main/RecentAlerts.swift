import Logging
import RelayMetrics
import RelayModel
import Synchronization

/// Keeps the newest alerts for the operator and says in the log that there are some: which class and how many, never about whom. Any thread.
final class RecentAlerts: AlertSink {
    private struct State {
        /// At most ``Limits/alertsKept``, the newest last.
        var kept: [Alert] = []
        var raised: [String: Int] = [:]
        var quietUntil: [String: Int64] = [:]
    }

    private let clock: any MonotonicClock
    private let logger: Logger
    private let metrics: Metrics
    private let state = Mutex(State())

    init(clock: any MonotonicClock, logger: Logger, metrics: Metrics = Metrics()) {
        self.metrics = metrics
        self.clock = clock
        self.logger = logger
    }

    func raise(_ alert: Alert) {
        metrics.alerts.add(AlertLabel(alert.kind))
        let name = alert.kind.className
        let now = clock.nanoseconds()
        let count = state.withLock { state -> Int? in
            if state.kept.count == Limits.alertsKept { state.kept.removeFirst() }
            state.kept.append(alert)
            let count = state.raised[name, default: 0] + 1
            state.raised[name] = count
            // There are as many entries as classes.
            guard now >= state.quietUntil[name, default: .min] else { return nil }
            state.quietUntil[name] = now + Limits.alertLogInterval.nanoseconds
            return count
        }
        if let count { logger.warning("alert", metadata: ["class": "\(name)", "since_start": "\(count)"]) }
    }

    /// The newest last.
    var alerts: [Alert] { state.withLock { $0.kept } }
}
