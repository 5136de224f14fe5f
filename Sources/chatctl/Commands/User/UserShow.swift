import ArgumentParser
import RelayControl

/// `chatctl user show`
struct UserShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show a user and their devices.", examples: ["user show alice"])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(UserShow(user: user))
        try global.output.show(reply) { $0.user(reply) }
    }
}
