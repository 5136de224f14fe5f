import ArgumentParser
import RelayControl

/// `chatctl block remove`
struct BlockRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Lift a user's block on their behalf.",
        discussion: "The two stand to each other again as before it, but for the groups that the user left.",
        examples: [#"block remove alice mallory --reason "her letter of 5 May""#])

    @Argument(help: "The name of the user who blocks.", completion: .users)
    var user: String

    @Argument(help: "The name of the user who is blocked.", completion: .users)
    var peer: String

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(BlockRemove(user: user, peer: peer, reason: reason))
        try global.output.show(reply) { page in
            page.line("\(reply.user) does not block \(reply.peer) any more\(reply.state.map { " (\($0.words))" } ?? "").")
        }
    }
}
