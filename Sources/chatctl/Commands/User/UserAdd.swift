import ArgumentParser
import RelayControl

/// `chatctl user add`
struct UserAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add a user and print their first invite.",
        discussion: "The link is shown once and works once; the relay keeps only its hash. `chatctl invite create` makes another one.",
        examples: [#"user add alice --display-name "Alice A.""#, "user add alertbot --no-limits --expires 1h --json"])

    @Argument(help: "The user's name: letters, digits, “.”, “_” and “-”.")
    var user: String

    @Option(name: .customLong("display-name"), help: ArgumentHelp("What other people see instead of the name.", valueName: "text"))
    var displayName: String?

    @Option(help: ArgumentHelp("A reference to a picture, such as an https link.", valueName: "reference"))
    var avatar: String?

    @Flag(name: .customLong("no-limits"), help: "Do not hold the user to rate limits: for bots and for measuring.")
    var noLimits = false

    @OptionGroup var invite: InviteOptions
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(
            UserAdd(
                user: user, displayName: displayName, avatar: avatar, inviteLifetimeSeconds: invite.expires?.seconds,
                noLimits: noLimits ? true : nil))
        let output = global.output
        let code = try invite.code(for: reply.invite, output)
        try output.show(reply) { page in
            page.line("User \(reply.user.name) was added. With this link they enrol their first device:")
            page.blank()
            page.issued(reply.invite, code: code)
        }
    }
}
