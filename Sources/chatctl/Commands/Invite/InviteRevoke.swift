import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl invite revoke`
struct InviteRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Make an invite's link useless.", examples: ["invite revoke 4711"])

    @Argument(help: "The invite's number, as `chatctl invite list` shows it.")
    var invite: InviteID

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await confirmation.perform("invite revoke", on: global.control) {
            InviteRevoke(invite: invite, dryRun: $0, reason: confirmation.reason)
        } question: {
            "Revoke invite \($0.invite.id) for \($0.invite.user)?"
        }
        try global.output.show(reply) { page in
            page.line("Invite \(reply.invite.id) for \(reply.invite.user) \(reply.dryRun ? "would be" : "was") revoked.")
        }
    }
}
