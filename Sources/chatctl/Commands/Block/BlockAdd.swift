import ArgumentParser
import RelayControl

/// `chatctl block add`
struct BlockAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Block a user on another one's behalf.",
        discussion: """
            Nothing passes between the two any more, and where the relay's configuration says so the user leaves the groups that both are in; \
            lifting the block does not bring them back into those.
            """,
        examples: [#"block add alice mallory --reason "her letter of 3 May" --dry-run"#])

    @Argument(help: "The name of the user who is to be left in peace.", completion: .users)
    var user: String

    @Argument(help: "The name of the user who is blocked.", completion: .users)
    var peer: String

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard confirmation.reason != nil else { throw ValidationError("Missing expected argument '--reason <text>'") }
    }

    func run() async throws {
        let reply = try await confirmation.perform("block add", on: global.control) {
            BlockAdd(user: user, peer: peer, reason: confirmation.reason ?? "", dryRun: $0)
        } question: {
            "Block \($0.peer) on behalf of \($0.user), who leaves \(Self.groups($0))?"
        }
        try global.output.show(reply) { $0.line(Self.sentence(reply)) }
    }

    static func sentence(_ reply: BlockAdd.Reply) -> String {
        let verb = reply.dryRun ? reply.changed ? "would block" : "would go on blocking" : reply.changed ? "blocks" : "goes on blocking"
        return "\(reply.user) \(verb) \(reply.peer), and \(reply.dryRun ? "would leave" : "left") \(groups(reply))."
    }

    private static func groups(_ reply: BlockAdd.Reply) -> String {
        reply.groupsLeft == 0 ? "no group" : Figures.number(reply.groupsLeft, "shared group")
    }
}
