import ArgumentParser
import RelayClient

/// `chatctl client safety forget`
struct ClientSafetyForgetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forget", abstract: "Somebody is not verified any more; messages are sent to whatever devices they have.",
        examples: ["client safety forget bob --state ~/phone"])

    @Argument(help: ArgumentHelp("Who.", valueName: "name"))
    var name: String

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await translatingClientErrors {
            let (state, _, account) = try ClientState.open(client.directory)
            let (name, user) = try client.person(name, in: state)
            try state.forgetVerification(of: user)
            let report = try SafetyReport(name, user, in: state, account)
            try client.output.show(report) { $0.safety(report) }
        }
    }
}
