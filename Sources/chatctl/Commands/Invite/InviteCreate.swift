import ArgumentParser
import RelayControl

/// `chatctl invite create`
struct InviteCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Issue a link with which a user enrols one more device.",
        discussion: "The link is shown once and works once; the relay keeps only its hash.", examples: ["invite create alice --expires 7d"])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @OptionGroup var invite: InviteOptions
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(InviteCreate(user: user, lifetimeSeconds: invite.expires?.seconds))
        let output = global.output
        let code = try invite.code(for: reply, output)
        try output.show(reply) { page in
            page.line("With this link \(reply.user) enrols a device:")
            page.blank()
            page.issued(reply, code: code)
        }
    }
}
