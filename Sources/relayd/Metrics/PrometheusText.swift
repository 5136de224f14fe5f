/// The text format 0.0.4 of Prometheus: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
package enum PrometheusText {
    package static let mediaType = "text/plain; version=0.0.4; charset=utf-8"

    package static func text(_ snapshot: MetricSnapshot) -> String {
        var text = ""
        for metric in snapshot.metrics {
            let definition = MetricTable.definition(of: metric.name)
            write(definition.name.rawValue, help: definition.help, kind: definition.kind.rawValue, metric.samples, into: &text)
        }
        return text
    }

    static func write(_ name: String, help: String, kind: String, _ samples: [MetricSample], into text: inout String) {
        text += "# HELP \(name) \(escaped(help, quotes: false))\n# TYPE \(name) \(kind)\n"
        for sample in samples {
            switch sample.value {
            case .number(let value): text += "\(name)\(labels(sample.labels)) \(number(value))\n"
            case .histogram(let histogram):
                var below = 0
                for (bound, count) in zip(histogram.bounds, histogram.counts) {
                    below += count
                    text += "\(name)_bucket\(labels(sample.labels, le: number(bound))) \(below)\n"
                }
                text += "\(name)_bucket\(labels(sample.labels, le: "+Inf")) \(histogram.count)\n"
                text += "\(name)_sum\(labels(sample.labels)) \(number(histogram.sum))\n"
                text += "\(name)_count\(labels(sample.labels)) \(histogram.count)\n"
            }
        }
    }

    private static func labels(_ labels: [MetricSample.Label], le: String? = nil) -> String {
        var all = labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }
        if let le { all.append("le=\"\(le)\"") }
        return all.isEmpty ? "" : "{\(all.joined(separator: ","))}"
    }

    /// Whole numbers without a fraction, others with as many digits as they need.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int(exactly: value), abs(whole) < 1 << 53 { return String(whole) }
        return "\(value)"
    }

    /// Backslashes and line ends, and in label values quotation marks.
    static func escaped(_ text: String, quotes: Bool) -> String {
        var result = text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
        if quotes { result = result.replacing("\"", with: "\\\"") }
        return result
    }
}
