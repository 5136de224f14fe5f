import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl audit list`
struct AuditListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List operators' changes, the newest first.",
        discussion: "Also those that failed or were refused; of these, only users that there are have their names listed.",
        examples: ["audit list --since 7d", "audit list --failed --json"])

    @Option(help: ArgumentHelp("List at most so many, 1 to 500.", valueName: "count"))
    var limit: Int?

    @Option(help: ArgumentHelp("List those of the last 90m, 24h or 7d only.", valueName: "span"))
    var since: Lifetime?

    @Option(help: ArgumentHelp("List what came before the entry of this number: the next page.", valueName: "number"))
    var before: Int?

    @Flag(help: "List only what failed or was refused.")
    var failed = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let start = since.map { Timestamp(milliseconds: SystemWallClock().now().milliseconds - Int64($0.seconds) * 1000) }
        let reply = try await global.control.call(AuditList(limit: limit, since: start, before: before, failed: failed ? true : nil))
        guard !reply.entries.isEmpty || global.json else {
            Talk.say(since == nil && before == nil && !failed ? "Nothing has been changed yet." : "There is no such entry.")
            return
        }
        try global.output.show(reply) { $0.audit(reply.entries) }
    }
}
