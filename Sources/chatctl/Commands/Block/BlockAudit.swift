import ArgumentParser
import RelayControl

/// `chatctl block audit`
struct BlockAuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "List what operators did about blocks and contacts, the newest first.",
        discussion: "What users decide themselves is not in the audit log.", examples: ["block audit --limit 20"])

    @Option(help: ArgumentHelp("List at most so many, 1 to 500.", valueName: "count"))
    var limit: Int?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(BlockAudit(limit: limit))
        guard !reply.entries.isEmpty || global.json else {
            Talk.say("No operator has changed a block or a contact yet.")
            return
        }
        try global.output.show(reply) { $0.audit(reply.entries) }
    }
}
