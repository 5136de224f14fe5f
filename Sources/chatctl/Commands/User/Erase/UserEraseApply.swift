import ArgumentParser
import RelayControl

/// `chatctl user erase apply`
struct UserEraseApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Put a user out, and erase them after the time of grace.",
        discussion: "With --now there is none, and the command ends when everything is gone, with the report.",
        examples: [#"user erase apply alice --plan 9c1f-02ab-77d0-4e35 --reason "a letter""#])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @Option(help: ArgumentHelp("What `plan` printed.", valueName: "fingerprint"))
    var plan: String

    @Option(help: ArgumentHelp("Why, for the audit log, where it stays: without the user's name.", valueName: "text"))
    var reason: String

    @OptionGroup var grace: GraceOptions
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(UserEraseApply(user: user, plan: plan, graceSeconds: grace.seconds, reason: reason))
        try global.output.show(reply) { $0.erasure(reply) }
    }
}
