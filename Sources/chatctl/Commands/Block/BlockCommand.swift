import ArgumentParser

/// `chatctl block`
struct BlockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "block",
        abstract: "Who blocks whom.",
        subcommands: [BlockListCommand.self, BlockAddCommand.self, BlockRemoveCommand.self, BlockAuditCommand.self])
}
