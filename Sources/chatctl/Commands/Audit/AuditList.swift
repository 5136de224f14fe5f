import ArgumentParser
import RelayControl

/// `chatctl audit list`
struct AuditListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List operators' changes, the newest first.", examples: ["audit list --limit 20"])

    @Option(help: ArgumentHelp("List at most so many, 1 to 500.", valueName: "count"))
    var limit: Int?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(AuditList(limit: limit))
        guard !reply.entries.isEmpty || global.json else {
            Talk.say("Nothing has been changed yet.")
            return
        }
        try global.output.show(reply) { $0.audit(reply.entries) }
    }
}
