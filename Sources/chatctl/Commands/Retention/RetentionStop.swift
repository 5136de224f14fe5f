import ArgumentParser
import RelayControl

/// `chatctl retention stop`
struct RetentionStopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "End the purge that is under way after its current step.", examples: ["retention stop"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(RetentionStop())
        try global.output.show(reply) { page in
            page.line(reply.wasRunning ? "The purge ends after its current step. The next one takes up what is left." : "No purge is under way.")
        }
    }
}
