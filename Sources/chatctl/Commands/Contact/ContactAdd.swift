import ArgumentParser
import RelayControl

/// `chatctl contact add`
struct ContactAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Introduce two users: afterwards each is the other's contact.",
        discussion: "As if one had asked and the other had accepted. Refused while one of them blocks the other: that is theirs to decide.",
        examples: [#"contact add alice bob --reason "same family""#])

    @Argument(help: "A user's name.", completion: .users)
    var user: String

    @Argument(help: "The other user's name.", completion: .users)
    var peer: String

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(ContactAdd(user: user, peer: peer, reason: reason))
        try global.output.show(reply) { $0.line("\(reply.user) and \(reply.peer) are contacts\(reply.changed ? "" : " already").") }
    }
}
