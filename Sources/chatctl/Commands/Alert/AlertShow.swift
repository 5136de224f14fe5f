import ArgumentParser
import RelayControl

/// `chatctl alert show`
struct AlertShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show an alert: whom it is about, and what to do.", examples: ["alert show 12"])

    @Argument(help: "The alert's number, as `chatctl alert list` shows it.")
    var alert: Int

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(AlertShow(alert: alert))
        try global.output.show(reply) { $0.alert(reply) }
        if !global.json { Talk.hint(reply.alert.advice) }
    }
}
