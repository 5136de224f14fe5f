import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client group create`
struct ClientGroupCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a group; its maker is the owner.",
        examples: ["client group create team --with bob,carol --state ~/phone"])

    @Argument(help: ArgumentHelp("The title, 1 to \(Limits.groupTitleCharacters) characters.", valueName: "title"))
    var title: String

    @Option(name: .customLong("with"), parsing: .singleValue, help: ArgumentHelp("The other members, separated by commas.", valueName: "users"))
    var users: [String]

    @OptionGroup var options: ClientChange.Options

    func run() async throws {
        let (title, users) = (title, ClientGroupCommand.names(users))
        try await ClientChange.run(options, title) { session throws(ClientError) in
            try session.createGroup(title, with: users)
        } done: { _ in
            "The group “\(title)” is there."
        }
    }
}
