import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key list`
struct KeyListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List devices' keys in the order in which they were enrolled, revoked ones included.",
        discussion: "Fingerprints are what people compare. Each signature is checked when it is shown.")

    @Option(help: ArgumentHelp("Only this user's.", valueName: "user"))
    var user: String?

    @Option(help: ArgumentHelp("Continue behind this device.", valueName: "device"))
    var after: DeviceID?

    @Option(help: ArgumentHelp("List at most so many, 1 to 500. Without it 500.", valueName: "count"))
    var limit: Int?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(KeyList(user: user, after: after, limit: limit))
        guard !reply.keys.isEmpty || global.json else {
            Talk.say(after == nil ? "There are no devices, so there are no keys." : "There are no more.")
            return
        }
        try global.output.show(reply) { $0.keys(reply.keys) }
        if !global.json, let next = reply.next { Talk.hint("there may be more: --after \(next)") }
    }
}
