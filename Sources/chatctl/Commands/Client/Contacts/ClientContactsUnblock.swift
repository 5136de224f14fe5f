import ArgumentParser
import RelayClient

/// `chatctl client contacts unblock`
struct ClientContactsUnblockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unblock", abstract: "Lift a block. You are again what you were before.",
        examples: ["client contacts unblock mallory --state ~/phone"])

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @OptionGroup var options: ClientContactsChange.Options

    func run() async throws {
        let user = user
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in [try session.unblock(user)] }, done: "\(user) is not blocked any more.")
    }
}
