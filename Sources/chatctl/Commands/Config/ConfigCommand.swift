import ArgumentParser

/// `chatctl config`
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "What relayd is configured to do, and what its file says otherwise.",
        subcommands: [ConfigShowCommand.self, ConfigDiffCommand.self])
}
