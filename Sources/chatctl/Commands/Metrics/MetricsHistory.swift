import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl metrics history`
struct MetricsHistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Draw what a few figures were in each minute of the last day.",
        discussion: "relayd keeps them in memory, from its start on. Without names all series are drawn.",
        examples: ["metrics history sends commit-p99"])

    @Argument(help: "Series, such as sends or commit-p99.")
    var name: [String] = []

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(MetricsHistory(series: name.isEmpty ? nil : name))
        try global.output.show(reply) { $0.metricsHistory(reply, ascii: PlainText.isNeeded) }
    }
}

extension Page {
    /// - Parameter ascii: the terminal shows nothing else.
    mutating func metricsHistory(_ reply: MetricsHistory.Reply, ascii: Bool) {
        guard let first = reply.times.first, let last = reply.times.last else {
            return line("no minute has passed yet since relayd was started", .faint)
        }
        line("\(Figures.number(reply.times.count, "minute")), \(Figures.time(first)) to \(Figures.time(last))", .faint)
        table(
            ["SERIES", "TREND", Column("LOWEST", .right), Column("HIGHEST", .right), Column("LAST", .right), "WHAT"],
            reply.series.map { series in
                let known = series.values.compactMap(\.self)
                func figure(_ value: Double?) -> Cell { value.map { Cell(Self.figure($0, series.unit)) } ?? Cell("") }
                return [
                    Cell(series.name, .strong), Cell(Sparkline.of(series.values, ascii: ascii)), figure(known.min()), figure(known.max()),
                    figure(known.last), Cell(series.meaning, .faint),
                ]
            })
    }

    private static func figure(_ value: Double, _ unit: MetricUnit) -> String {
        switch unit {
        case .perMinute: "\(Figures.count(Int(min(value, 1e15).rounded())))/min"
        case .seconds: Figures.shortTime(value)
        case .bytes: Figures.bytes(Int(min(value, 1e18)))
        case .count: Figures.count(Int(min(value, 1e15)))
        case .ratio: Figures.decimal(value, digits: 2)
        }
    }
}
