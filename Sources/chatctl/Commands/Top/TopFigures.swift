import RelayControl
import RelayModel

/// A rate of what is counted in steps: how many a second, or that it is below what the steps show.
struct TopRate: Codable, Sendable, Equatable {
    var perSecond: Double?
    /// It is less than this; absent when ``perSecond`` is known.
    var below: Double?

    var words: String {
        if let perSecond { return "\(Figures.decimal(perSecond, digits: perSecond < 10 ? 1 : 0))/s" }
        if let below { return "< \(Figures.decimal(below.rounded(.up), digits: 0))/s" }
        return "-"
    }
}

/// What one look shows, computed from it and those before. With `--json` a line of its own.
struct TopFigures: Codable, Sendable, Equatable {
    var at: Timestamp
    /// When what is about messages was taken.
    var metricsAt: Timestamp
    var isLive: Bool
    var sends: TopRate
    var deliveries: TopRate
    /// Absent without any.
    var sendP50: Double?
    var sendP99: Double?
    var commitP99: Double?
    var loopLagP99: Double?
    /// Rounded up to powers of two.
    var queue: Int
    var webSockets: Int
    var httpConnections: Int
    var undelivered: Int
    /// Processor cores in use; absent in the first look.
    var cores: Double?
    var processors: Int
    var residentBytes: Int
    var storeBytes: Int
    var logBytes: Int
    var diskBytes: Int
    var diskFreeBytes: Int
    var openAlerts: Int

    /// For who cannot show a screen.
    var line: String {
        func time(_ seconds: Double?) -> String { seconds.map(Figures.shortTime) ?? "-" }
        return [
            Figures.time(at), "sends \(sends.words)", "deliveries \(deliveries.words)", "send-p99 \(time(sendP99))", "commit-p99 \(time(commitP99))",
            "queue \(Figures.count(queue))", "websockets \(Figures.count(webSockets))",
            "cores \(cores.map { Figures.decimal($0, digits: 2) } ?? "-")",
            "memory \(Figures.bytes(residentBytes))", "disk-free \(diskBytes > 0 ? "\(diskFreeBytes * 100 / diskBytes) %" : "-")",
            "alerts \(openAlerts)",
        ].joined(separator: "  ")
    }
}

/// The last looks. Pure: knows no clock and no terminal.
struct TopLooks: Sendable {
    private(set) var all: [Top.Reply] = []

    /// A relay that was started anew begins anew.
    mutating func add(_ look: Top.Reply) {
        if let last = all.last, last.startedAt != look.startedAt || look.at < last.at { all = [] }
        if all.count == Limits.topLooks { all.removeFirst() }
        all.append(look)
    }

    /// Of the newest look; nil before the first.
    var figures: TopFigures? { all.indices.last.map { figures(at: $0) } }

    /// One value for each look, the oldest first.
    func trend(_ value: (TopFigures) -> Double?) -> [Double?] { all.indices.map { value(figures(at: $0)) } }

    private func figures(at index: Int) -> TopFigures {
        let look = all[index]
        // Over a quarter of a minute a busy relay's steps do not show, over a minute most others' do not.
        let span = Duration.seconds(look.isLive ? 15 : 60)
        let past = all[...index].first { look.metricsAt - $0.metricsAt <= span } ?? look
        let before = index > 0 ? all[index - 1] : nil
        return TopFigures(
            at: look.at, metricsAt: look.metricsAt, isLive: look.isLive, sends: Self.rate("relayd_sends_total", "accepted", past, look),
            deliveries: Self.rate("relayd_deliveries_total", nil, past, look),
            sendP50: Self.quantile("relayd_send_seconds", 0.5, past, look), sendP99: Self.quantile("relayd_send_seconds", 0.99, past, look),
            commitP99: Self.quantile("relayd_commit_seconds", 0.99, past, look),
            loopLagP99: Self.quantile("relayd_event_loop_lag_seconds", 0.99, past, look), queue: Self.number("relayd_queue_commands", nil, look),
            webSockets: Self.number("relayd_connections", "websocket", look), httpConnections: Self.number("relayd_connections", "http", look),
            undelivered: Self.number("relayd_undelivered_messages", nil, look),
            cores: before.flatMap { before in
                let microseconds = (look.at - before.at).milliseconds * 1000
                return microseconds > 0 ? Double(max(0, look.cpuMicroseconds - before.cpuMicroseconds)) / Double(microseconds) : nil
            }, processors: look.processors, residentBytes: look.residentBytes, storeBytes: Self.number("relayd_store_bytes", nil, look),
            logBytes: Self.number("relayd_wal_bytes", nil, look), diskBytes: Self.number("relayd_disk_bytes", nil, look),
            diskFreeBytes: Self.number("relayd_disk_free_bytes", nil, look), openAlerts: look.openAlerts)
    }

    private static func samples(_ name: String, _ label: String?, _ look: Top.Reply) -> MetricSampleRecord? {
        look.metrics.first { $0.name == name }?.samples.first { sample in label.map { sample.labels.values.contains($0) } ?? true }
    }

    private static func number(_ name: String, _ label: String?, _ look: Top.Reply) -> Int {
        Int(exactly: (samples(name, label, look)?.value ?? 0).rounded()) ?? 0
    }

    private static func rate(_ name: String, _ label: String?, _ past: Top.Reply, _ look: Top.Reply) -> TopRate {
        let seconds = Double((look.metricsAt - past.metricsAt).milliseconds) / 1000
        guard seconds > 0 else { return TopRate() }
        let passed = number(name, label, look) - number(name, label, past)
        return passed > 0 ? TopRate(perSecond: Double(passed) / seconds) : TopRate(below: Double(Limits.metricMessageStep) / seconds)
    }

    /// Of what came between two looks, as if it were spread evenly within its bucket; nil when nothing came.
    private static func quantile(_ name: String, _ part: Double, _ past: Top.Reply, _ look: Top.Reply) -> Double? {
        guard let now = samples(name, nil, look)?.histogram, let before = samples(name, nil, past)?.histogram, now.counts.count == before.counts.count
        else { return nil }
        let counts = zip(now.counts, before.counts).map { max(0, $0 - $1) }
        let total = counts.reduce(0, +)
        guard total > 0 else { return nil }
        let rank = part * Double(total)
        var below = 0
        for (index, bound) in now.bounds.enumerated() where index < counts.count {
            if counts[index] > 0, Double(below + counts[index]) >= rank {
                let low = index == 0 ? 0 : now.bounds[index - 1]
                return low + (bound - low) * max(0, rank - Double(below)) / Double(counts[index])
            }
            below += counts[index]
        }
        return now.bounds.last
    }
}
