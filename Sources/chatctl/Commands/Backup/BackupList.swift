import ArgumentParser
import RelayControl

/// `chatctl backup list`
struct BackupListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the backups in relayd's folder, the newest first.",
        discussion: "Whether one can be restored, `chatctl backup verify` finds out by reading it.", examples: ["backup list"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(BackupList())
        guard !reply.backups.isEmpty || global.json else {
            Talk.say("There is no backup in \(reply.folder).")
            return
        }
        try global.output.show(reply) { $0.backups(reply.backups) }
    }
}
