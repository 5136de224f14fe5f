import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl metrics show`
struct MetricsShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show all technical metrics as relayd took them last.",
        discussion: """
            relayd takes them every \(Limits.metricInterval.components.seconds) seconds; nothing changes in between. Counts are since its start. p50, p99 and \
            p99.9: half of all, 99 %, and all but one in a thousand took at most so long.
            """,
        examples: ["metrics show", "metrics show --prometheus"])

    @Flag(help: "Print the text that Prometheus reads.")
    var prometheus = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if prometheus, global.json { throw ValidationError("--prometheus and --json exclude each other") }
    }

    func run() async throws {
        if prometheus { return StandardOutput.write(try await global.control.text("/v1/metrics")) }
        let reply = try await global.control.call(MetricsShow())
        try global.output.show(reply) { $0.metrics(reply) }
    }
}

extension Page {
    mutating func metrics(_ reply: MetricsShow.Reply) {
        var groups: [String] = []
        for metric in reply.metrics where !groups.contains(metric.group) { groups.append(metric.group) }
        for (index, group) in groups.enumerated() {
            if index > 0 { blank() }
            line(group.uppercased(), .strong)
            let metrics = reply.metrics.filter { $0.group == group }
            let plain = metrics.filter { $0.type != "histogram" }.flatMap { Self.rows($0) }
            if !plain.isEmpty { table(["METRIC", "OF", Column("VALUE", .right)], plain) }
            let histograms = metrics.filter { $0.type == "histogram" }.flatMap { Self.quantiles($0) }
            if !histograms.isEmpty {
                table(["METRIC", Column("COUNT", .right), Column("P50", .right), Column("P99", .right), Column("P99.9", .right)], histograms)
            }
        }
    }

    /// A row for each label value that is not 0; one when all are.
    private static func rows(_ metric: MetricRecord) -> [[Cell]] {
        let shown = metric.samples.filter { $0.value != 0 }
        if shown.isEmpty { return [[Cell(metric.name), Cell(""), Cell("0", .faint)]] }
        return shown.map { sample in
            let labels = sample.labels.sorted { $0.key < $1.key }.map(\.value).joined(separator: " ")
            return [Cell(metric.name), Cell(labels), Cell(Self.number(sample.value ?? 0, of: metric.name))]
        }
    }

    private static func quantiles(_ metric: MetricRecord) -> [[Cell]] {
        metric.samples.compactMap(\.histogram).map { histogram in
            func figure(_ value: Double?) -> Cell { value.map { Cell(number($0, of: metric.name)) } ?? Cell("") }
            return [
                Cell(metric.name), Cell(Figures.count(histogram.count)), figure(histogram.p50), figure(histogram.p99), figure(histogram.p999),
            ]
        }
    }

    /// The name's end says what the number is.
    private static func number(_ value: Double, of name: String) -> String {
        if name.hasSuffix("_time_seconds") {
            return value.isFinite && abs(value) < 1e11 ? Figures.time(Timestamp(milliseconds: Int64(value * 1000))) : "\(value)"
        }
        if name.hasSuffix("_seconds") || name.hasSuffix("_seconds_total") { return Figures.shortTime(value) }
        if name.hasSuffix("_bytes") { return Int(exactly: value.rounded()).map(Figures.bytes) ?? "\(value)" }
        if name.hasSuffix("_ratio") { return "\(Figures.decimal(value * 100, digits: 0)) %" }
        return Int(exactly: value).map(Figures.count) ?? Figures.decimal(value, digits: 1)
    }
}
