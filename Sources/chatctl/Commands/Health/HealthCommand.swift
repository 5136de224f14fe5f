import ArgumentParser

/// `chatctl health`
struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Whether the relay lives and serves, for probes.",
        subcommands: [HealthLiveCommand.self, HealthReadyCommand.self])
}
