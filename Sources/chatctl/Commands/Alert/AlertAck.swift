import ArgumentParser
import RelayControl

/// `chatctl alert ack`
struct AlertAckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ack", abstract: "Say that you know of alerts; those that are over leave the list.",
        discussion: "One that goes on stays in the list until it is over.", examples: [#"alert ack 12 --reason "disk ordered""#, "alert ack --all"])

    @Argument(help: "The alerts' numbers, as `chatctl alert list` shows them.")
    var alerts: [Int] = []

    @Flag(name: .shortAndLong, help: "All of them.")
    var all = false

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if all == !alerts.isEmpty { throw ValidationError("name the alerts by their numbers, or --all for all of them") }
    }

    func run() async throws {
        let reply = try await global.control.call(AlertAcknowledge(alerts: all ? nil : alerts, reason: reason))
        guard !reply.alerts.isEmpty || global.json else {
            Talk.say("There is nothing to acknowledge.")
            return
        }
        try global.output.show(reply) { $0.alerts(reply.alerts) }
    }
}
