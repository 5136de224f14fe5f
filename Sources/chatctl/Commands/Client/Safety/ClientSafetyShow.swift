import ArgumentParser
import RelayClient

/// `chatctl client safety show`
struct ClientSafetyShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the safety number with somebody, and whether it was verified.",
        examples: ["client safety show bob --state ~/phone"])

    @Argument(help: ArgumentHelp("Whose number.", valueName: "name"))
    var name: String

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await translatingClientErrors {
            let (state, account) = try ClientState.inspect(client.directory)
            let (name, user) = try client.person(name, in: state)
            let report = try SafetyReport(name, user, in: state, account)
            try client.output.show(report) { $0.safety(report) }
        }
    }
}
