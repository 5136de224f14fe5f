import ArgumentParser

/// `chatctl audit`
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Who changed what.",
        subcommands: [AuditListCommand.self])
}
