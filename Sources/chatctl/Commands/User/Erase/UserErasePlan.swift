import ArgumentParser
import RelayControl

/// `chatctl user erase plan`
struct UserErasePlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say table by table what erasing a user takes, what stays and why.",
        discussion: "Changes nothing. The fingerprint goes into `apply`, which refuses when the user is not as they were when the plan was made.",
        examples: ["user erase plan alice", "user erase plan alice --now"])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @OptionGroup var grace: GraceOptions
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(UserErasePlan(user: user, graceSeconds: grace.seconds))
        try global.output.show(reply) { $0.erasure(reply) }
    }
}
