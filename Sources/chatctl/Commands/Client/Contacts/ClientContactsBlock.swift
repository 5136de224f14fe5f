import ArgumentParser
import RelayClient

/// `chatctl client contacts block`
struct ClientContactsBlockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "block", abstract: "Block somebody, stranger or contact.",
        discussion: """
            Nothing they write reaches you and you write nothing to them, on this device at once and everywhere once the relay has it. Where that is the \
            relay's policy you leave the groups that both of you are in; otherwise what they write there is kept from you.
            """,
        examples: ["client contacts block mallory --state ~/phone"])

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @OptionGroup var options: ClientContactsChange.Options

    func run() async throws {
        let user = user
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in [try session.block(user)] }, done: "\(user) is blocked.")
    }
}
