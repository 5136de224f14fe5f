import ArgumentParser
import RelayClient

/// `chatctl client contacts label`
struct ClientContactsLabelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "label", abstract: "Give a contact a label of your own.", examples: ["client contacts label bob work --state ~/phone"])

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @Argument(help: ArgumentHelp("The label, which nobody else sees; “” takes it away.", valueName: "label"))
    var label: String

    @OptionGroup var options: ClientContactsChange.Options

    func run() async throws {
        let (user, label) = (user, label)
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in [try session.label(user, as: label)] }, done: "\(user) is labelled.")
    }
}
