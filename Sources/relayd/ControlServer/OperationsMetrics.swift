import NIOCore
import RelayControl
import RelayMetrics

// The technical metrics.
extension Operations {
    func metricsShow(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(MetricsShow.self, body) { _ in MetricsShow.Reply(metrics.snapshot) }
    }

    func metricsHistory(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(MetricsHistory.self, body) { request in
            let series = try request.series.map { names in try names.map { name throws(ControlError) in try Self.series(name) } }
            let history = metrics.history
            return MetricsHistory.Reply(
                times: history.times,
                series: (series ?? HistorySeries.allCases).map { series in
                    MetricsHistory.Series(
                        name: series.rawValue, meaning: series.meaning, unit: MetricUnit(series.unit), values: history.values(of: series))
                })
        }
    }

    private static func series(_ name: String) throws(ControlError) -> HistorySeries {
        guard let series = HistorySeries(rawValue: name) else {
            throw ControlError(
                .notFound, "there is no series \(name)", hint: "there are: " + HistorySeries.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return series
    }
}

extension MetricUnit {
    fileprivate init(_ unit: HistorySeries.Unit) {
        switch unit {
        case .perMinute: self = .perMinute
        case .seconds: self = .seconds
        case .bytes: self = .bytes
        case .count: self = .count
        case .ratio: self = .ratio
        }
    }
}

extension MetricsShow.Reply {
    init(_ snapshot: MetricSnapshot) {
        self.init(
            at: snapshot.at,
            metrics: snapshot.metrics.map { metric in
                let definition = MetricTable.definition(of: metric.name)
                return MetricRecord(
                    name: metric.name.rawValue, type: definition.kind.rawValue, group: definition.group.rawValue, help: definition.help,
                    samples: metric.samples.map { MetricSampleRecord($0) })
            })
    }
}

extension MetricSampleRecord {
    fileprivate init(_ sample: MetricSample) {
        let labels = Dictionary(sample.labels.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        switch sample.value {
        case .number(let number): self.init(labels: labels, value: number, histogram: nil)
        case .histogram(let value):
            self.init(
                labels: labels, value: nil,
                histogram: MetricHistogramRecord(
                    count: value.count, sum: value.sum, p50: value.quantile(0.5), p99: value.quantile(0.99), p999: value.quantile(0.999),
                    bounds: value.bounds, counts: value.counts))
        }
    }
}
