import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl metrics budget`
struct MetricsBudgetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "budget", abstract: "Show what the figures about people cost in privacy, and have cost so far.",
        discussion: """
            Each release spends its ε; what was spent never becomes less. Δ is by how much one user can change the figure. Both are those of the next \
            period, from the section [people] of relayd's configuration.
            """,
        examples: ["metrics budget"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(MetricsBudget())
        try global.output.show(reply) { $0.budget(reply) }
    }
}

extension Page {
    mutating func budget(_ budget: MetricsBudget.Reply) {
        table(
            ["FIGURE", "PERIOD", Column("Δ", .right), Column("ε", .right), Column("RELEASES", .right), Column("SPENT", .right)],
            budget.metrics.map { record in
                [
                    Cell(record.metric?.words ?? "enough users?"), Cell(record.period.rawValue), Cell(Figures.count(record.clamp)),
                    record.epsilonThousandths == 0 ? Cell("off", .faint) : Cell(Epsilon.text(record.epsilonThousandths)),
                    Cell(Figures.count(record.releases)), Cell(Epsilon.text(record.spentThousandths)),
                ]
            })
        blank()
        pairs([
            ("ε per day", Cell(Epsilon.text(budget.perDayThousandths))), ("ε per week", Cell(Epsilon.text(budget.perWeekThousandths))),
            ("ε spent", Cell(Epsilon.text(budget.spentThousandths), .strong)),
        ])
    }
}
