import ArgumentParser
import RelayControl

/// `chatctl retention assign`
struct RetentionAssignCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "assign", abstract: "Put a user into a class, or out of it.", examples: ["retention assign alice --class board"])

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @Option(name: .customLong("class"), help: ArgumentHelp("The class. Without it the user is in none afterwards.", valueName: "name"))
    var className: String?

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(RetentionAssign(user: user, className: className, reason: reason))
        try global.output.show(reply) { page in
            page.line(reply.className.map { "\(reply.user) is in class \($0)." } ?? "\(reply.user) is in no class.")
        }
    }
}
