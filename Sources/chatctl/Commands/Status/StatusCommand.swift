import ArgumentParser
import RelayControl

/// `chatctl status`
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how the relay is, on one screen.", examples: ["status", "status --json"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(Status())
        try global.output.show(reply) { $0.status(reply) }
    }
}
