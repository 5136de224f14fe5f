import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl block list`
struct BlockListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List who blocks whom, in the order in which they were added.", examples: ["block list --user alice"])

    @Option(help: ArgumentHelp("Only whom this user blocks.", valueName: "user"), completion: .users)
    var user: String?

    @Option(help: ArgumentHelp("Continue there, as the end of the page before says.", valueName: "place"))
    var after: String?

    @Option(help: ArgumentHelp("List at most so many, 1 to 500. Without it 500.", valueName: "count"))
    var limit: Int?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let control = global.control
        let wanted = limit ?? Limits.pageSizeCeiling
        var reply = try await control.call(BlockList(user: user, after: after, limit: limit))
        // relayd looks at so much of its store at a time: what it finds there may be less than a page.
        while let next = reply.next, reply.blocks.count < wanted {
            let page = try await control.call(BlockList(user: user, after: next, limit: wanted - reply.blocks.count))
            reply.blocks += page.blocks
            reply.next = page.next
        }
        guard !reply.blocks.isEmpty || global.json else {
            Talk.say(after == nil ? "Nobody is blocked." : "There are no more.")
            return
        }
        try global.output.show(reply) { $0.blocks(reply.blocks) }
        if !global.json, let next = reply.next { Talk.hint("there may be more: --after \(next)") }
    }
}

extension Page {
    mutating func blocks(_ blocks: [BlockRecord]) {
        table(
            ["USER", "BLOCKS", "SINCE"],
            blocks.map { [Cell($0.user, .strong), Cell($0.peer, .strong), Cell($0.since.map(Figures.time) ?? "")] })
    }
}
