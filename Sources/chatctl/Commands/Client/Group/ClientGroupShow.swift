import ArgumentParser
import RelayClient

/// `chatctl client group show`
struct ClientGroupShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a group with its members, as far as this device has received its changes.",
        examples: ["client group show team --state ~/phone"])

    @Argument(help: ArgumentHelp("The group's title or number.", valueName: "group"))
    var group: String

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await translatingClientErrors {
            let (state, _) = try ClientState.inspect(client.directory)
            guard case .chat(let chat) = try state.findGroup(group), let found = try state.group(chat) else {
                throw ClientError.request("“\(group)” still waits in the outbox", hint: "`chatctl client listen` sends it")
            }
            let report = GroupDetailReport(
                group: GroupReport(found),
                members: try state.members(of: chat).map { GroupReport.Member(user: $0.user, name: $0.name, role: "\($0.role)") })
            try client.output.show(report) { $0.group(report) }
        }
    }
}
