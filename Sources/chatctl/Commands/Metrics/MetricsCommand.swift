import ArgumentParser

/// `chatctl metrics`
struct MetricsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "What relayd measures of itself, and figures about people with noise; never whose.",
        subcommands: [MetricsShowCommand.self, MetricsHistoryCommand.self, MetricsPeopleCommand.self, MetricsBudgetCommand.self])
}
