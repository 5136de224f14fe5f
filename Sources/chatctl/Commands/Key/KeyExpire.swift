import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key expire`
struct KeyExpireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "expire", abstract: "End the grace of agreement keys that a device has replaced.",
        discussion: "What is sealed for such a key is refused from now on; clients seal it anew by themselves.",
        examples: [#"key expire 382364223419711500 --reason "backup stolen""#])

    @Argument(help: "The device's number, as `chatctl key list` shows it.", completion: .devices)
    var device: DeviceID

    @Flag(help: "Of replaced prekeys, too.")
    var all = false

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await confirmation.perform("key expire", on: global.control) {
            KeyExpire(device: device, all: all, dryRun: $0, reason: confirmation.reason)
        } question: {
            "End the grace of \(Figures.number($0.expired, "replaced key")) of device \($0.device)\(KeyRevokeCommand.owner($0.user))?"
        }
        try global.output.show(reply) { $0.line(Self.sentence(reply)) }
    }

    static func sentence(_ reply: KeyExpire.Reply) -> String {
        "\(Figures.number(reply.expired, "replaced key")) of device \(reply.device)\(KeyRevokeCommand.owner(reply.user)) "
            + "\(reply.dryRun ? "would not be" : reply.expired == 1 ? "is not" : "are not") valid any more."
    }
}
