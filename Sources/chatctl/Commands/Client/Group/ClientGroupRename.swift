import ArgumentParser
import RelayClient

/// `chatctl client group rename`
struct ClientGroupRenameCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rename", abstract: "Give a group another title.", examples: [#"client group rename team "The team" --state ~/phone"#])

    @Argument(help: ArgumentHelp("The group's title or number.", valueName: "group"))
    var group: String

    @Argument(help: ArgumentHelp("The new title.", valueName: "title"))
    var title: String

    @OptionGroup var options: ClientChange.Options

    func run() async throws {
        let (group, title) = (group, title)
        try await ClientChange.run(options, group) { session throws(ClientError) in
            [try session.rename(try session.read { state throws(ClientError) in try state.findGroup(group) }, to: title)]
        } done: { _ in
            "\(group) is called “\(title)” now."
        }
    }
}
