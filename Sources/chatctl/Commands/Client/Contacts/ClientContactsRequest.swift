import ArgumentParser
import RelayClient

/// `chatctl client contacts request`
struct ClientContactsRequestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "request", abstract: "Ask somebody to be a contact.", examples: ["client contacts request bob --state ~/phone"])

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @Option(help: ArgumentHelp("A label of your own for them; nobody else sees it.", valueName: "label"))
    var category: String?

    @OptionGroup var options: ClientContactsChange.Options

    func run() async throws {
        let (user, category) = (user, category)
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in [try session.request(user, category: category)] }, done: "\(user) is asked.")
    }
}
