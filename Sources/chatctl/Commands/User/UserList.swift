import ArgumentParser
import RelayControl

/// `chatctl user list`
struct UserListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List users in the order of their names.", examples: ["user list", "user list --after alice --limit 50"])

    @Option(help: ArgumentHelp("Continue behind this name.", valueName: "user"))
    var after: String?

    @Option(help: ArgumentHelp("List at most so many, 1 to 500. Without it: all.", valueName: "count"))
    var limit: Int?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let control = global.control
        var reply = try await control.call(UserList(after: after, limit: limit))
        while limit == nil, let next = reply.next {
            let page = try await control.call(UserList(after: next))
            reply.users += page.users
            reply.next = page.next
        }
        guard !reply.users.isEmpty || global.json else {
            Talk.say(after == nil ? "There are no users yet. Add one: chatctl user add NAME" : "There are no more users.")
            return
        }
        try global.output.show(reply) { $0.users(reply.users) }
        if !global.json, let next = reply.next { Talk.hint("there are more: --after \(next)") }
    }
}
