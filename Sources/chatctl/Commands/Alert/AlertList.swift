import ArgumentParser
import RelayControl

/// `chatctl alert list`
struct AlertListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the alerts that go on, and those that nobody has acknowledged; the newest first.",
        discussion: "Whom one is about is not in the list: `chatctl alert show` says that.", examples: ["alert list", "alert list --all"])

    @Flag(name: .shortAndLong, help: "List all of the last 90 days.")
    var all = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(AlertList(all: all ? true : nil))
        guard !reply.alerts.isEmpty || global.json else {
            Talk.say(all ? "There was no alert in the last 90 days." : "There is no alert.")
            return
        }
        try global.output.show(reply) { $0.alerts(reply.alerts) }
    }
}
