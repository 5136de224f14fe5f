import ArgumentParser

/// `chatctl invite`
struct InviteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invite",
        abstract: "One-time links with which people enrol their devices.",
        subcommands: [InviteCreateCommand.self, InviteListCommand.self, InviteRevokeCommand.self])
}
