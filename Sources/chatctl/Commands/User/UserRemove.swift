import ArgumentParser
import RelayControl

/// `chatctl user remove`
struct UserRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove a user with their devices, invites and mailbox.",
        discussion: "Messages that other people have already got stay with them. The name becomes free again.",
        examples: ["user remove alice --dry-run", #"user remove alice --yes --reason "left the company""#])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await confirmation.perform("user remove", on: global.control) {
            UserRemove(user: user, dryRun: $0, reason: confirmation.reason)
        } question: {
            "Remove user \($0.user) with \(Self.extent($0))?"
        }
        try global.output.show(reply) { page in
            page.line("User \(reply.user) \(reply.dryRun ? "would be" : "was") removed with \(Self.extent(reply)).")
        }
    }

    static func extent(_ reply: UserRemove.Reply) -> String {
        "\(Figures.number(reply.devices, "device")), \(Figures.number(reply.openInvites, "open invite")) and "
            + "\(Figures.number(reply.mailboxEntries, "mailbox entry", "mailbox entries"))"
    }
}
