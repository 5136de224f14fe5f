import ArgumentParser

/// `chatctl metrics`
struct MetricsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Figures about the relay, and those about people with noise.",
        subcommands: [MetricsPeopleCommand.self, MetricsBudgetCommand.self])
}
