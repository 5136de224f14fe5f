import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key list`
struct KeyListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List devices' keys in the order in which they were enrolled, revoked ones included.",
        discussion: "Fingerprints are what people compare. Each signature is checked when it is shown.",
        examples: ["key list --user alice", "key list --low"])

    @Option(help: ArgumentHelp("Only this user's.", valueName: "user"), completion: .users)
    var user: String?

    @Option(help: ArgumentHelp("Continue behind this device.", valueName: "device"))
    var after: DeviceID?

    @Option(help: ArgumentHelp("List at most so many, 1 to 500. Without it 500.", valueName: "count"))
    var limit: Int?

    @Flag(help: "Only devices that run out of one-time prekeys: fewer than \(Limits.lowPrekeys) are left of those that they uploaded.")
    var low = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let control = global.control
        var reply = try await control.call(KeyList(user: user, after: after, limit: limit, low: low ? true : nil))
        // Most devices have enough: a page may be empty before the end.
        let wanted = limit ?? Limits.pageSizeCeiling
        while low, reply.keys.count < wanted, let next = reply.next {
            let page = try await control.call(KeyList(user: user, after: next, limit: wanted - reply.keys.count, low: true))
            reply.keys += page.keys
            reply.next = page.next
        }
        guard !reply.keys.isEmpty || global.json else {
            if low, after == nil { return Talk.say("No device runs out of one-time prekeys.") }
            Talk.say(after == nil ? "There are no devices, so there are no keys." : "There are no more.")
            return
        }
        try global.output.show(reply) { $0.keys(reply.keys) }
        if !global.json, let next = reply.next { Talk.hint("there may be more: --after \(next)") }
    }
}
