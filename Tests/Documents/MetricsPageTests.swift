import Foundation
import RelayMetrics
import Testing

/// relayd-metrics(7) lists the table's metrics, with their labels, and the series of the history.
@Suite struct MetricsPageTests {
    private let page: String

    init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        page = try String(contentsOf: root.appendingPathComponent("man/relayd-metrics.7"), encoding: .utf8)
    }

    @Test func everyMetricStandsThereAsInTheTable() {
        let listed = page.split(separator: "\n").filter { $0.hasPrefix(".It Li relayd_") }
        let expected = MetricTable.all.map { ".It Li \($0.name.rawValue) Pq \($0.kind.rawValue)" }
        #expect(listed.map(String.init) == expected)
        for definition in MetricTable.all {
            var entry = ".It Li \(definition.name.rawValue) Pq \(definition.kind.rawValue)\n\(definition.help).\n"
            for label in definition.labels {
                let values = values(of: label)
                entry += ".br\nLabel\n.Li \(label.label) :\n"
                for (index, value) in values.enumerated() { entry += ".Li \(value) \(index == values.count - 1 ? "." : ",")\n" }
            }
            #expect(page.contains(entry), "should be:\n\(entry)")
        }
    }

    @Test func everySeriesStandsThere() {
        let names = HistorySeries.allCases.map(\.rawValue)
        let list = names.enumerated().map { ".Li \($1) \($0 == names.count - 1 ? "." : ",")\n" }.joined()
        #expect(page.contains("The series are\n" + list), "should be:\n\(list)")
    }

    private func values(of label: any MetricLabel.Type) -> [String] {
        func all<Label: MetricLabel>(_: Label.Type) -> [String] { Label.allCases.map(\.rawValue) }
        return all(label)
    }
}
