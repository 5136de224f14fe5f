import ArgumentParser
import RelayClient

/// `chatctl client contacts ignore`
struct ClientContactsIgnoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ignore", abstract: "Leave somebody's request without an answer.",
        discussion: "They are not told, and cannot ask again. It can still be accepted.", examples: ["client contacts ignore mallory --state ~/phone"]
    )

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @OptionGroup var options: ClientContactsChange.Options

    func run() async throws {
        let user = user
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in [try session.ignore(user)] }, done: "The request of \(user) is ignored.")
    }
}
