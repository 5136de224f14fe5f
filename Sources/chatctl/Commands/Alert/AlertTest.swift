import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl alert test`
struct AlertTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Hand a test over to the command or the server that gets alerts.",
        discussion: "relayd.toml(5) names it, in the section alerts. Ends with 1 when it did not work.", examples: ["alert test"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply: AlertTest.Reply
        do {
            // What hangs is given up only then.
            Talk.progress("handing a test over, for at most \(Limits.alertPatience.components.seconds) s")
            defer { Talk.endProgress() }
            reply = try await global.control.call(AlertTest())
        }
        try global.output.show(reply) { $0.line("Handed over to \(reply.target) in \(Figures.count(reply.milliseconds)) ms.", .good) }
    }
}
