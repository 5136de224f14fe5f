import ArgumentParser
import RelayControl

/// `chatctl user remove`
struct UserRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove a user with their devices, invites and mailbox.",
        discussion: "Messages that other people have already got stay with them. The name becomes free again.")

    @Argument(help: "The user's name.")
    var user: String

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        try confirmation.checkThatSomebodyCanAnswer("user remove")
        let control = global.control
        if !confirmation.dryRun, !confirmation.yes {
            let plan = try await control.call(UserRemove(user: user, dryRun: true))
            try confirmation.ask("Remove user \(plan.user) with \(Self.extent(plan))?")
        }
        let reply = try await control.call(UserRemove(user: user, dryRun: confirmation.dryRun, reason: confirmation.reason))
        try global.output.show(reply) { page in
            page.line("User \(reply.user) \(reply.dryRun ? "would be" : "was") removed with \(Self.extent(reply)).")
        }
    }

    static func extent(_ reply: UserRemove.Reply) -> String {
        "\(Figures.number(reply.devices, "device")), \(Figures.number(reply.openInvites, "open invite")) and "
            + "\(Figures.number(reply.mailboxEntries, "mailbox entry", "mailbox entries"))"
    }
}
