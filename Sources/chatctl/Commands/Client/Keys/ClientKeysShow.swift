import ArgumentParser
import RelayClient

/// `chatctl client keys show`
struct ClientKeysShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the current agreement key and the former ones that are kept, by their fingerprints.",
        examples: ["client keys show --state ~/phone"])

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await translatingClientErrors {
            let (keys, account) = try ClientState.keyRecords(client.directory)
            let report = ClientKeysReport(keys, account)
            try client.output.show(report) { $0.clientKeys(report) }
        }
    }
}
