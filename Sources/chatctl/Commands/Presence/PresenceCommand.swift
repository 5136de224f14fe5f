import ArgumentParser

/// `chatctl presence`
struct PresenceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presence", abstract: "How many are there: never who.", subcommands: [PresenceSummaryCommand.self])
}
