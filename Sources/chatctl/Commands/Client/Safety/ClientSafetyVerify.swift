import ArgumentParser
import RelayClient
import RelayCrypto
import RelayModel

/// `chatctl client safety verify`
struct ClientSafetyVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Say that the numbers were compared and are the same.",
        discussion: "Type the number that the other person sees: it is compared here, digit by digit.",
        examples: [#"client safety verify bob --number "12345 67890 12345 67890 12345 67890 12345 67890 12345 67890 12345 67890" --state ~/phone"#])

    @Argument(help: ArgumentHelp("Whose number.", valueName: "name"))
    var name: String

    @Option(help: ArgumentHelp("The sixty digits that the other person sees; blanks do not count.", valueName: "digits"))
    var number: String

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await translatingClientErrors {
            let (state, _, account) = try ClientState.open(client.directory)
            let (name, user) = try client.person(name, in: state)
            guard try state.safetyNumber(with: user, of: account).matches(number) else {
                throw ClientError.request(
                    "this is not the number that this device sees with \(name): nothing was verified",
                    hint: "exchange a message and compare again; if it stays, somebody may be between you: ask the operator which devices \(name) has"
                )
            }
            try state.verify(user, at: SystemWallClock().now())
            let report = try SafetyReport(name, user, in: state, account)
            try client.output.show(report) { $0.safety(report) }
        }
    }
}
