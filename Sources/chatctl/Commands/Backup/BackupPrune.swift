import ArgumentParser
import RelayControl

/// `chatctl backup prune`
struct BackupPruneCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Delete old backups; the newest whole one always stays.",
        discussion: """
            What is deleted from the store is still in the backups that were made before: how long these are kept is part of how long messages and \
            erased users are.
            """,
        examples: ["backup prune --keep 7", "backup prune --days 30 --yes"])

    @Option(help: ArgumentHelp("So many of the newest stay.", valueName: "count"))
    var keep: Int?

    @Option(help: ArgumentHelp("What is not older stays.", valueName: "days"))
    var days: Int?

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await confirmation.perform("chatctl backup prune", on: global.control) {
            BackupPrune(keep: keep, days: days, dryRun: $0 ? true : nil, reason: confirmation.reason)
        } question: {
            "Delete \(Figures.number($0.removed.count, "backup"))?"
        }
        guard !reply.removed.isEmpty || global.json else {
            Talk.say("There is nothing to delete.")
            return
        }
        try global.output.show(reply) { page in
            page.backups(reply.removed)
            page.line(reply.dryRun ? "These would be deleted." : "These were deleted.")
        }
    }
}
