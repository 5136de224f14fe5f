import ArgumentParser
import RelayClient

/// `chatctl client contacts delete`
struct ClientContactsDeleteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Be nobody's contact to somebody any more, or take a request back.",
        discussion: "A block stays: `unblock` lifts it.", examples: ["client contacts delete bob --state ~/phone"])

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @OptionGroup var options: ClientContactsChange.Options

    func run() async throws {
        let user = user
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in [try session.deleteContact(user)] }, done: "\(user) is not your contact any more.")
    }
}
