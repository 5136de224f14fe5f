import ArgumentParser

/// `chatctl client group`
struct ClientGroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group",
        abstract: "Make groups and change them.",
        discussion: """
            A group is named by its title, or by the number that `group list` prints. The title is sealed for the members: the relay does not know it. Changes \
            wait in the outbox like messages.
            """,
        subcommands: [
            ClientGroupCreateCommand.self, ClientGroupAddCommand.self, ClientGroupRemoveCommand.self, ClientGroupLeaveCommand.self,
            ClientGroupRenameCommand.self, ClientGroupRoleCommand.self, ClientGroupListCommand.self, ClientGroupShowCommand.self,
        ])

    /// `bob,carol dave`: commas and repeated arguments mean the same.
    static func names(_ arguments: [String]) -> [String] {
        arguments.flatMap { $0.split(separator: ",").map { String($0.drop(while: \.isWhitespace)) } }.filter { !$0.isEmpty }
    }
}
