import RelayModel

/// The instruments of one relay: what happens is counted here, and read by ``snapshot(at:)``. Any thread.
///
/// Nothing here knows a user, a device or an address; labels have closed sets of values.
package final class Metrics: Sendable {
    package let sends = Counters<SendResult>()
    package let deliveries = Counter()
    package let acknowledgements = Counter()
    package let sendSeconds = Histogram(.durations)
    package let undelivered = Gauge()

    package let queueSeconds = Histogram(.durations)
    package let queueCommands = Gauge()
    package let commitSeconds = Histogram(.durations)
    package let commitCommands = Histogram(.sizes)
    package let checkpointSeconds = Histogram(.durations)
    package let logBytes = Gauge()
    package let storeBytes = Gauge()
    package let storeFreeBytes = Gauge()
    package let diskBytes = Gauge()
    package let diskFreeBytes = Gauge()
    package let diskFreeInodes = Gauge()
    package let purgeRunning = Gauge()
    package let purgeProgress = Gauge()

    package let webSockets = Gauge()
    package let httpConnections = Gauge()
    package let requests = PairCounters<RequestRoute, StatusClass>()
    package let signIns = Counters<SignInResult>()
    package let rateLimited = Counters<RateLimitKind>()
    /// Not known without TLS.
    package let certificateDays = Gauge(.nan)

    package let alerts = Counters<AlertKind>()
    package let loopLagSeconds = Histogram(.durations)
    package let openFiles = Gauge()
    package let openFilesLimit = Gauge()
    package let residentBytes = Gauge()
    package let cpuSeconds = Gauge()

    private let startedAt: Timestamp
    private let version: String
    /// Measures everything here that is a time.
    package let clock: any MonotonicClock

    /// - Parameter version: relayd's.
    package init(
        startedAt: Timestamp = Timestamp(milliseconds: 0), version: String = "", clock: any MonotonicClock = SystemMonotonicClock()
    ) {
        self.startedAt = startedAt
        self.version = version
        self.clock = clock
    }

    /// All metrics as they are now, in the order of the table.
    package func snapshot(at now: Timestamp) -> MetricSnapshot {
        MetricSnapshot(at: now, metrics: MetricTable.all.map { MeasuredMetric(name: $0.name, samples: samples(of: $0.name, now)) })
    }

    // Exhaustive on purpose: a metric without a line here does not compile.
    private func samples(of name: MetricName, _ now: Timestamp) -> [MetricSample] {
        switch name {
        case .sends:
            SendResult.allCases.map { result in
                let count = sends.value(result)
                return MetricSample([(SendResult.label, result.rawValue)], .number(Double(result.isUse ? Metrics.coarse(count) : count)))
            }
        case .deliveries: [MetricSample([], .number(Double(Metrics.coarse(deliveries.value))))]
        case .acknowledgements: [MetricSample([], .number(Double(Metrics.coarse(acknowledgements.value))))]
        case .sendSeconds: Metrics.sample(sendSeconds)
        case .undelivered: Metrics.sampleClass(undelivered)
        case .queueSeconds: Metrics.sample(queueSeconds)
        case .queueCommands: Metrics.sample(queueCommands)
        case .commitSeconds: Metrics.sample(commitSeconds)
        case .commitCommands: Metrics.sample(commitCommands)
        case .checkpointSeconds: Metrics.sample(checkpointSeconds)
        case .logBytes: Metrics.sample(logBytes)
        case .storeBytes: Metrics.sample(storeBytes)
        case .storeFreeBytes: Metrics.sample(storeFreeBytes)
        case .diskBytes: Metrics.sample(diskBytes)
        case .diskFreeBytes: Metrics.sample(diskFreeBytes)
        case .diskFreeInodes: Metrics.sample(diskFreeInodes)
        case .purgeRunning: Metrics.sample(purgeRunning)
        case .purgeProgress: Metrics.sample(purgeProgress)
        case .connections:
            [
                MetricSample([(ConnectionKind.label, ConnectionKind.websocket.rawValue)], .number(webSockets.value)),
                MetricSample([(ConnectionKind.label, ConnectionKind.http.rawValue)], .number(httpConnections.value)),
            ]
        case .requests:
            // Pairs that never happened would be most of the text.
            RequestRoute.allCases.flatMap { route in
                StatusClass.allCases.compactMap { status in
                    let count = requests.value(route, status)
                    return count == 0
                        ? nil
                        : MetricSample([(RequestRoute.label, route.rawValue), (StatusClass.label, status.rawValue)], .number(Double(count)))
                }
            }
        case .signIns: Metrics.samples(signIns)
        case .rateLimited: Metrics.samples(rateLimited)
        case .certificateDays: certificateDays.known == nil ? [] : Metrics.sample(certificateDays)
        case .alerts: Metrics.samples(alerts)
        case .loopLagSeconds: Metrics.sample(loopLagSeconds)
        case .openFiles: Metrics.sampleClass(openFiles)
        case .openFilesLimit: Metrics.sample(openFilesLimit)
        case .residentBytes: Metrics.sample(residentBytes)
        case .cpuSeconds: Metrics.sample(cpuSeconds)
        case .startTime: [MetricSample([], .number(Double(startedAt.milliseconds) / 1000))]
        case .metricsTime: [MetricSample([], .number(Double(now.milliseconds) / 1000))]
        case .buildInfo: [MetricSample([("version", version)], .number(1))]
        }
    }

    /// How much people write is theirs: it is shown in steps that hide what one of them does in a day, and published with noise by the privacy ledger.
    private static func coarse(_ count: Int) -> Int { count / Limits.metricMessageStep * Limits.metricMessageStep }

    private static func sample(_ counter: Counter) -> [MetricSample] { [MetricSample([], .number(Double(counter.value)))] }
    private static func sample(_ gauge: Gauge) -> [MetricSample] { [MetricSample([], .number(gauge.value))] }
    private static func sampleClass(_ gauge: Gauge) -> [MetricSample] { [MetricSample([], .number(Double(SizeClass.of(Int(gauge.value)))))] }
    private static func sample(_ histogram: Histogram) -> [MetricSample] { [MetricSample([], .histogram(histogram.value))] }
    private static func samples<Label>(_ counters: Counters<Label>) -> [MetricSample] {
        Label.allCases.map { MetricSample([(Label.label, $0.rawValue)], .number(Double(counters.value($0)))) }
    }
}

/// All metrics at one moment.
package struct MetricSnapshot: Sendable, Equatable {
    package var at: Timestamp
    /// In the order of the table.
    package var metrics: [MeasuredMetric]

    package subscript(_ name: MetricName) -> [MetricSample] { metrics.first { $0.name == name }?.samples ?? [] }

    /// The number of a metric without labels, or of one that has this label value.
    package func number(_ name: MetricName, _ value: String? = nil) -> Double {
        for sample in self[name] {
            guard value == nil || sample.labels.contains(where: { $0.value == value }), case .number(let number) = sample.value else { continue }
            return number
        }
        return 0
    }

    package func histogram(_ name: MetricName) -> HistogramValue? {
        if case .histogram(let value)? = self[name].first?.value { value } else { nil }
    }
}

package struct MeasuredMetric: Sendable, Equatable {
    package var name: MetricName
    package var samples: [MetricSample]
}

/// One line of a metric.
package struct MetricSample: Sendable, Equatable {
    package struct Label: Sendable, Equatable {
        package var name: String
        package var value: String
    }

    package enum Value: Sendable, Equatable {
        case number(Double)
        case histogram(HistogramValue)
    }

    package var labels: [Label]
    package var value: Value

    package init(_ labels: [(String, String)], _ value: Value) {
        self.labels = labels.map { Label(name: $0.0, value: $0.1) }
        self.value = value
    }
}
