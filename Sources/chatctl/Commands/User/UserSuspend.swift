import ArgumentParser
import RelayControl

/// `chatctl user suspend`
struct UserSuspendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "suspend", abstract: "Keep a user from sending and connecting, until they are resumed.",
        discussion:
            "Connections of the user's devices are closed at once. What is sent to the user is kept, and arrives after `chatctl user resume`.",
        examples: [#"user suspend alice --reason "phone stolen""#])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @Option(help: ArgumentHelp("Why, for the audit log and for `chatctl user show`.", valueName: "text"))
    var reason: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(UserSuspend(user: user, reason: reason))
        try global.output.show(reply) { $0.line("User \(reply.name) is suspended.") }
    }
}
