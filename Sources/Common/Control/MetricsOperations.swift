import RelayModel

/// The technical metrics as relayd took them last; it takes them every ``Limits/metricInterval``.
package struct MetricsShow: ControlOperation {
    package static let name = ControlOperationName.metricsShow
    package init() {}
    package struct Reply: Codable, Sendable, Equatable {
        package var at: Timestamp
        package var metrics: [MetricRecord]
        package init(at: Timestamp, metrics: [MetricRecord]) {
            self.at = at
            self.metrics = metrics
        }
    }
}

/// One metric with all its label values. relayd-metrics(7) lists them.
package struct MetricRecord: Codable, Sendable, Equatable {
    package var name: String
    /// `counter`, `gauge` or `histogram`.
    package var type: String
    /// `messages`, `store`, `connections` or `process`.
    package var group: String
    package var help: String
    package var samples: [MetricSampleRecord]
    package init(name: String, type: String, group: String, help: String, samples: [MetricSampleRecord]) {
        self.name = name
        self.type = type
        self.group = group
        self.help = help
        self.samples = samples
    }
}

package struct MetricSampleRecord: Codable, Sendable, Equatable {
    package var labels: [String: String]
    /// Of a counter or gauge.
    package var value: Double?
    package var histogram: MetricHistogramRecord?
    package init(labels: [String: String], value: Double?, histogram: MetricHistogramRecord?) {
        self.labels = labels
        self.value = value
        self.histogram = histogram
    }
}

package struct MetricHistogramRecord: Codable, Sendable, Equatable {
    package var count: Int
    package var sum: Double
    /// Absent without values. As if values were spread evenly within their bucket.
    package var p50: Double?
    package var p99: Double?
    package var p999: Double?
    /// Where buckets end, and how many values lie in each; there is one more of those, for what is above.
    package var bounds: [Double]
    package var counts: [Int]
    package init(count: Int, sum: Double, p50: Double?, p99: Double?, p999: Double?, bounds: [Double], counts: [Int]) {
        self.count = count
        self.sum = sum
        self.p50 = p50
        self.p99 = p99
        self.p999 = p999
        self.bounds = bounds
        self.counts = counts
    }
}

/// What a few of them were in each minute of the last day, since relayd started.
package struct MetricsHistory: ControlOperation {
    package static let name = ControlOperationName.metricsHistory
    /// Only these series; all when absent.
    package var series: [String]?
    package init(series: [String]? = nil) { self.series = series }

    package struct Reply: Codable, Sendable, Equatable {
        /// The ends of the minutes, the oldest first.
        package var times: [Timestamp]
        package var series: [Series]
        package init(times: [Timestamp], series: [Series]) {
            self.times = times
            self.series = series
        }
    }

    package struct Series: Codable, Sendable, Equatable {
        package var name: String
        package var meaning: String
        package var unit: MetricUnit
        /// One for each time; null where there was nothing to measure.
        package var values: [Double?]
        package init(name: String, meaning: String, unit: MetricUnit, values: [Double?]) {
            self.name = name
            self.meaning = meaning
            self.unit = unit
            self.values = values
        }
    }
}

/// What the numbers of a series are.
package enum MetricUnit: String, Codable, Sendable { case perMinute = "per_minute", seconds, bytes, count, ratio }
