import RelayModel

/// Series of which one value a minute is kept.
package enum HistorySeries: String, CaseIterable, Sendable {
    case sends = "sends"
    case refused = "refused"
    case deliveries = "deliveries"
    case sendP99 = "send-p99"
    case commitP99 = "commit-p99"
    case loopLagP99 = "loop-lag-p99"
    case queue = "queue"
    case connections = "connections"
    case rateLimited = "rate-limited"
    case cpu = "cpu"
    case memory = "memory"
    case store = "store"
    case diskFree = "disk-free"

    /// What a value is.
    package enum Unit: String, Sendable { case perMinute = "a minute", seconds, bytes, count, ratio }

    package var unit: Unit {
        switch self {
        case .sends, .refused, .deliveries, .rateLimited: .perMinute
        case .sendP99, .commitP99, .loopLagP99: .seconds
        case .queue, .connections: .count
        case .memory, .store, .diskFree: .bytes
        case .cpu: .ratio
        }
    }

    package var meaning: String {
        switch self {
        case .sends: "messages accepted"
        case .refused: "messages refused"
        case .deliveries: "envelopes delivered"
        case .sendP99: "from a send to its answer, all but the slowest 1 %"
        case .commitP99: "commits, all but the slowest 1 %"
        case .loopLagP99: "lateness of the event loops, all but the worst 1 %"
        case .queue: "commands that wait for the writer, rounded up to a power of two"
        case .connections: "WebSockets, rounded up to a power of two"
        case .rateLimited: "what was refused because a limit was met"
        case .cpu: "processor cores in use"
        case .memory: "resident memory"
        case .store: "database"
        case .diskFree: "free disk space"
        }
    }

    /// What a minute between two snapshots was; nil when there was nothing to measure.
    func value(from earlier: MetricSnapshot, to later: MetricSnapshot) -> Double? {
        let minutes = max(1.0 / 60, Double((later.at - earlier.at).milliseconds) / 60_000)
        func rate(_ name: MetricName, _ value: String? = nil) -> Double { max(0, later.number(name, value) - earlier.number(name, value)) / minutes }
        func total(_ name: MetricName, without: Set<String>) -> Double {
            func sum(_ snapshot: MetricSnapshot) -> Double {
                snapshot[name].reduce(0) { sum, sample in
                    guard case .number(let number) = sample.value, !sample.labels.contains(where: { without.contains($0.value) }) else { return sum }
                    return sum + number
                }
            }
            return max(0, sum(later) - sum(earlier)) / minutes
        }
        func p99(_ name: MetricName) -> Double? {
            guard let now = later.histogram(name), let before = earlier.histogram(name) else { return nil }
            return now.since(before).quantile(0.99)
        }
        switch self {
        case .sends: return rate(.sends, SendResult.accepted.rawValue)
        case .refused: return total(.sends, without: [SendResult.accepted.rawValue, SendResult.repeated.rawValue])
        case .deliveries: return rate(.deliveries)
        case .sendP99: return p99(.sendSeconds)
        case .commitP99: return p99(.commitSeconds)
        case .loopLagP99: return p99(.loopLagSeconds)
        case .queue: return later.number(.queueCommands)
        case .connections: return later.number(.connections, ConnectionKind.websocket.rawValue)
        case .rateLimited: return total(.rateLimited, without: [])
        case .cpu: return rate(.cpuSeconds) / 60
        case .memory: return later.number(.residentBytes)
        case .store: return later.number(.storeBytes)
        case .diskFree: return later.number(.diskFreeBytes)
        }
    }
}

/// One value a minute of the chosen series, the newest last, for ``Limits/metricHistory``. A value type: its owner locks.
package struct MetricHistory: Sendable {
    private var rows: [(at: Timestamp, values: [Double?])] = []
    private var last: MetricSnapshot?

    package init() {}

    /// Takes a snapshot when a minute has passed since the one before.
    package mutating func add(_ snapshot: MetricSnapshot) {
        guard let last else {
            self.last = snapshot
            return
        }
        // A clock that was set back begins anew.
        if snapshot.at < last.at {
            self.last = snapshot
            return
        }
        // Snapshots come a moment early or late.
        guard snapshot.at - last.at >= Limits.metricHistoryInterval - Limits.metricInterval / 2 else { return }
        if rows.count == Limits.metricHistory { rows.removeFirst() }
        rows.append((snapshot.at, HistorySeries.allCases.map { $0.value(from: last, to: snapshot) }))
        self.last = snapshot
    }

    /// Of the minutes' ends, the oldest first.
    package var times: [Timestamp] { rows.map(\.at) }

    package func values(of series: HistorySeries) -> [Double?] {
        guard let place = HistorySeries.allCases.firstIndex(of: series) else { return [] }
        return rows.map { $0.values[place] }
    }
}
