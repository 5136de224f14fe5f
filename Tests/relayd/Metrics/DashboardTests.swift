import Foundation
import RelayMetrics
import RelayTestSupport
import Testing

/// packaging/grafana/relayd.json asks for metrics that there are.
@Suite struct DashboardTests {
    private let text: String
    private let dashboard: [String: Any]

    init() throws {
        text = try String(contentsOfFile: Programs.repository + "/packaging/grafana/relayd.json", encoding: .utf8)
        dashboard = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    private var panels: [[String: Any]] { dashboard["panels"] as? [[String: Any]] ?? [] }

    private var expressions: [String] {
        panels.flatMap { ($0["targets"] as? [[String: Any]] ?? []).compactMap { $0["expr"] as? String } }
    }

    @Test func everyMetricIsInTheTable() {
        var known: Set<String> = []
        for definition in MetricTable.all {
            let name = definition.name.rawValue
            known.formUnion(definition.kind == .histogram ? ["_bucket", "_sum", "_count"].map { name + $0 } : [name])
        }
        #expect(expressions.count > 15)
        for expression in expressions {
            let names = expression.matches(of: /relayd_[a-z0-9_]+/).map { String($0.output) }
            #expect(!names.isEmpty, "\(expression)")
            for name in names { #expect(known.contains(name), "\(expression)") }
        }
    }

    /// `{result="accepted"}`: a label of that metric, and one of its values.
    @Test func everyLabelIsInTheTable() throws {
        for expression in expressions {
            for match in expression.matches(of: /(relayd_[a-z0-9_]+)\{([^}]*)\}/) {
                let definition = try #require(MetricTable.all.first { match.1.hasPrefix($0.name.rawValue) }, "\(expression)")
                for label in match.2.split(separator: ",") {
                    let parts = try #require(label.wholeMatch(of: /\s*([a-z]+)(=|!=|=~|!~)"([^"]*)"/), "\(expression)")
                    let known = definition.labels.first { $0.label == String(parts.1) }
                    #expect(known != nil || ["instance", "job"].contains(parts.1), "\(expression)")
                    guard let known else { continue }
                    for value in parts.3.split(separator: "|") { #expect(values(of: known).contains(String(value)), "\(expression)") }
                }
            }
        }
    }

    private func values(of label: any MetricLabel.Type) -> [String] {
        func all<Label: MetricLabel>(_: Label.Type) -> [String] { Label.allCases.map(\.rawValue) }
        return all(label)
    }

    /// Panels have numbers of their own, titles, and places that do not overlap.
    @Test func panelsStandBesideEachOther() throws {
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
        #expect(Set(panels.compactMap { $0["title"] as? String }).count == panels.count)
        var taken: Set<[Int]> = []
        for panel in panels {
            let place = try #require(panel["gridPos"] as? [String: Int])
            let (x, y, w, h) = (place["x"] ?? 0, place["y"] ?? 0, place["w"] ?? 0, place["h"] ?? 0)
            #expect(w > 0 && h > 0 && x >= 0 && x + w <= 24)
            for column in x..<(x + w) {
                for row in y..<(y + h) { #expect(taken.insert([column, row]).inserted, "\(panel["title"] ?? "")") }
            }
        }
    }
}
