import ArgumentParser
import RelayControl

/// `chatctl user resume`
struct UserResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "End a user's suspension.",
        discussion: "What was sent to the user meanwhile arrives when their devices connect again.", examples: ["user resume alice"])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(UserResume(user: user, reason: reason))
        try global.output.show(reply) { $0.line("User \(reply.name) is active.") }
    }
}
