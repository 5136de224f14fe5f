import RelayMetrics
import RelayModel

/// Makes the figures that alerts watch out of what is measured. Knows no clock; nanoseconds of a monotonic one come in.
struct AlertReadings: Sendable {
    /// Counts of failures with their time, a minute of them.
    private var failures: [(at: Int64, count: Int)] = []
    private var commits: HistogramValue?

    /// Answers for which the relay itself was the reason, so far.
    static func failures(_ metrics: Metrics) -> Int {
        metrics.sends.value(.overloaded) + metrics.sends.value(.failed) + RequestRoute.allCases.reduce(0) { $0 + metrics.requests.value($1, .server) }
    }

    /// A kind that cannot be measured is left out.
    mutating func take(_ metrics: Metrics, at now: Int64) -> [AlertKind: Int] {
        var found: [AlertKind: Int] = [.undeliveredStore: Int(metrics.undelivered.value)]
        failures.append((now, AlertReadings.failures(metrics)))
        // The youngest that is a minute old is where the minute begins.
        while failures.count > 1, failures[1].at <= now - Duration.seconds(60).nanoseconds { failures.removeFirst() }
        if let first = failures.first, let last = failures.last { found[.errorBurst] = max(0, last.count - first.count) }

        if metrics.diskBytes.value > 0 {
            let free = Int(metrics.diskFreeBytes.value / metrics.diskBytes.value * 100)
            found[.diskLow] = free
            found[.diskNearlyFull] = free
        }
        if metrics.openFilesLimit.value > 0 { found[.descriptorsLow] = Int(metrics.openFiles.value / metrics.openFilesLimit.value * 100) }

        if let days = metrics.certificateDays.known { found[.certificateExpiring] = Int(days) }

        let commits = metrics.commitSeconds.value
        // Without commits there is nothing slow.
        found[.slowFlush] = Int((commits.since(self.commits ?? commits).quantile(0.99) ?? 0) * 1000)
        self.commits = commits
        return found
    }
}
