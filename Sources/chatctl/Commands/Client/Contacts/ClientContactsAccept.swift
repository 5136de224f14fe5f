import ArgumentParser
import RelayClient

/// `chatctl client contacts accept`
struct ClientContactsAcceptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accept", abstract: "Accept somebody's request: messages pass from then on.",
        examples: ["client contacts accept alice --category friends --state ~/phone"])

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @Option(help: ArgumentHelp("A label of your own for them; nobody else sees it.", valueName: "label"))
    var category: String?

    @OptionGroup var options: ClientContactsChange.Options

    func run() async throws {
        let (user, category) = (user, category)
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in [try session.accept(user, category: category)] }, done: "\(user) is your contact.")
    }
}
