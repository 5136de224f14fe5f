import ArgumentParser
import RelayControl

/// `chatctl user erase cancel`
struct UserEraseCancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Bring back a user who is to be erased.",
        discussion: "Nothing was lost: what was sent meanwhile arrives when their devices connect again. Whoever was suspended before still is.",
        examples: ["user erase cancel alice"])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(UserEraseCancel(user: user, reason: reason))
        try global.output.show(reply) {
            $0.line("User \(reply.name) is not erased, and \(reply.suspendedAt == nil ? "active" : "suspended as before").")
        }
    }
}
