import ArgumentParser
import RelayControl

/// `chatctl user erase status`
struct UserEraseStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "List who is to be erased, and when; the next one first.", examples: ["user erase status"])

    @Argument(help: "Only this user.", completion: .users)
    var user: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(UserEraseStatus(user: user))
        guard !reply.erasures.isEmpty || global.json else {
            return Talk.say(user.map { "User \($0) is not to be erased." } ?? "Nobody is to be erased.")
        }
        try global.output.show(reply) { $0.erasures(reply.erasures) }
    }
}
