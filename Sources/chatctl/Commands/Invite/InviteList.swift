import ArgumentParser
import RelayControl

/// `chatctl invite list`
struct InviteListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List invites and what became of them.", examples: ["invite list --user alice"])

    @Option(help: ArgumentHelp("Only this user's.", valueName: "user"), completion: .users)
    var user: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(InviteList(user: user))
        guard !reply.invites.isEmpty || global.json else {
            Talk.say("There are no invites. Issue one: chatctl invite create \(user ?? "NAME")")
            return
        }
        try global.output.show(reply) { $0.invites(reply.invites) }
    }
}
