import ArgumentParser

/// `chatctl privacy`
struct PrivacyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "privacy", abstract: "Whether the relay keeps to itself what it knows of people.", subcommands: [PrivacyAuditCommand.self])
}
