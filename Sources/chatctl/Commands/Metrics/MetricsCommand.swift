import ArgumentParser

/// `chatctl metrics`
struct MetricsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "What relayd measures of itself: times, sizes and counts, never whose.",
        subcommands: [MetricsShowCommand.self, MetricsHistoryCommand.self])
}
