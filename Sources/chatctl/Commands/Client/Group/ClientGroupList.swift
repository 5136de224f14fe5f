import ArgumentParser
import RelayClient

/// `chatctl client group list`
struct ClientGroupListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the groups that this device knows.", examples: ["client group list --state ~/phone"])

    @OptionGroup var client: ClientOptions

    struct Report: Codable {
        var groups: [GroupReport]
    }

    func run() async throws {
        try await translatingClientErrors {
            let (state, _) = try ClientState.inspect(client.directory)
            let report = Report(groups: try state.groups().map { GroupReport($0) })
            guard !report.groups.isEmpty || client.rendering.json else {
                Talk.say("There are no groups.")
                return
            }
            try client.output.show(report) { $0.groups(report.groups) }
        }
    }
}
