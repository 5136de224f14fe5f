import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client group role`
struct ClientGroupRoleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "role", abstract: "Say what members may do.",
        discussion: """
            A member sends and leaves. An admin also adds and removes members, renames the group and deletes others' messages. An owner also sets roles and \
            removes admins.
            """,
        examples: ["client group role team admin bob --state ~/phone"])

    enum Role: String, ExpressibleByArgument, CaseIterable { case member, admin, owner }

    @Argument(help: ArgumentHelp("The group's title or number.", valueName: "group"))
    var group: String

    @Argument(help: "What they may do.")
    var role: Role

    @Argument(help: ArgumentHelp("Who.", valueName: "user"))
    var users: [String]

    @OptionGroup var options: ClientChange.Options

    func run() async throws {
        let (group, users) = (group, ClientGroupCommand.names(users))
        let role: GroupRole =
            switch role {
            case .member: .member
            case .admin: .admin
            case .owner: .owner
            }
        try await ClientChange.run(options, group) { session throws(ClientError) in
            [try session.setRole(of: users, to: role, in: try session.read { state throws(ClientError) in try state.findGroup(group) })]
        } done: { _ in
            "\(users.joined(separator: ", ")): \(role) of \(group)."
        }
    }
}
