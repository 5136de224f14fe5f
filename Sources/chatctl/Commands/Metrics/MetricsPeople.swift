import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl metrics people`
struct MetricsPeopleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "people", abstract: "Show the figures about people that were published, with noise that hides every single user.",
        discussion: """
            Each figure is drawn once, when its UTC day or week is over; every later look shows the same one. In 19 of 20 cases the count is at most as \
            far from it as the column ± says. What is low is suppressed, and with few users nothing is published: relayd-privacy(7).
            """,
        examples: ["metrics people --periods 7"])

    @Option(help: ArgumentHelp("How many periods of each figure to show, 1 to \(Limits.peoplePeriods).", valueName: "number"))
    var periods = 30

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard (1...Limits.peoplePeriods).contains(periods) else {
            throw ValidationError("--periods takes 1 to \(Limits.peoplePeriods), not \(periods)")
        }
    }

    func run() async throws {
        let reply = try await global.control.call(MetricsPeople(periods: periods))
        try global.output.show(reply) { $0.people(reply.series, ascii: PlainText.isNeeded) }
    }
}

extension Page {
    mutating func people(_ series: [PeopleSeriesRecord], ascii: Bool) {
        table(
            ["FIGURE", "PERIOD", Column("VALUE", .right), Column("±", .right), "PAST"],
            series.map { one in
                guard let last = one.releases.last else { return [Cell(one.metric.words), "none yet", "", "", ""] }
                let isReleased = last.state == .released
                return [
                    Cell(one.metric.words), Cell(one.period == .week ? "week of \(last.from)" : last.from),
                    last.value.map { Cell(Figures.count($0), .strong) } ?? Cell(last.state.rawValue, .faint),
                    Cell(isReleased ? Figures.count(last.plusMinus) : ""),
                    Cell(Sparkline.of(one.releases.map { $0.value.map(Double.init) }, ascii: ascii)),
                ]
            })
        let states = Set(series.compactMap(\.releases.last?.state))
        if states.contains(.released) { line("Noise hides every single user: in 19 of 20 cases the count is at most ± away from the value.", .faint) }
        if states.contains(.suppressed) { line("Suppressed: below the threshold that is configured.", .faint) }
        if states.contains(.withheld) { line("Withheld: there were too few users to hide one among them.", .faint) }
        if states.isEmpty { line("Nothing was published yet: a figure is when its day or week is over, in UTC.", .faint) }
    }
}
