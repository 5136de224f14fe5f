import ArgumentParser
import RelayClient

/// `chatctl client group leave`
struct ClientGroupLeaveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leave", abstract: "Leave a group.",
        discussion: "The history stays. When the last owner leaves, the admin who has been there longest becomes owner, or else the member.",
        examples: ["client group leave team --state ~/phone"])

    @Argument(help: ArgumentHelp("The group's title or number.", valueName: "group"))
    var group: String

    @OptionGroup var options: ClientChange.Options

    func run() async throws {
        let group = group
        try await ClientChange.run(options, group) { session throws(ClientError) in
            [try session.leave(try session.read { state throws(ClientError) in try state.findGroup(group) })]
        } done: { _ in
            "You left \(group)."
        }
    }
}
