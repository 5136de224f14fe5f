import ArgumentParser
import RelayClient

/// `chatctl client group add`
struct ClientGroupAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add members. They receive what is sent from then on.", examples: ["client group add team dave --state ~/phone"]
    )

    @Argument(help: ArgumentHelp("The group's title or number.", valueName: "group"))
    var group: String

    @Argument(help: ArgumentHelp("Who.", valueName: "user"))
    var users: [String]

    @OptionGroup var options: ClientChange.Options

    func run() async throws {
        let (group, users) = (group, ClientGroupCommand.names(users))
        try await ClientChange.run(options, group) { session throws(ClientError) in
            [try session.add(users, to: try session.read { state throws(ClientError) in try state.findGroup(group) })]
        } done: { _ in
            "\(users.joined(separator: ", ")) added to \(group)."
        }
    }
}
