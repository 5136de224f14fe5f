import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl invite revoke`
struct InviteRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "revoke", abstract: "Make an invite's link useless.")

    @Argument(help: "The invite's number, as `chatctl invite list` shows it.")
    var invite: InviteID

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        try confirmation.checkThatSomebodyCanAnswer("invite revoke")
        let control = global.control
        if !confirmation.dryRun { try confirmation.ask("Revoke invite \(invite)?") }
        let reply = try await control.call(InviteRevoke(invite: invite, dryRun: confirmation.dryRun, reason: confirmation.reason))
        try global.output.show(reply) { page in
            page.line("Invite \(reply.invite.id) for \(reply.invite.user) \(reply.dryRun ? "would be" : "was") revoked.")
        }
    }
}
