import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key revoke`
struct KeyRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Take prekeys away that a device has on the relay: nobody is given them any more.",
        discussion: """
            The device is told and uploads others. Its agreement key cannot be taken away, because nobody could write to the device then: \
            `chatctl device revoke` ends the device.
            """,
        examples: ["key revoke 382364223419711500 --kind one-time --dry-run"])

    @Argument(help: "The device's number, as `chatctl key list` shows it.", completion: .devices)
    var device: DeviceID

    @Option(help: ArgumentHelp("signed, last-resort, one-time or all.", valueName: "kind"))
    var kind = RevocableKeys.all

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await confirmation.perform("key revoke", on: global.control) {
            KeyRevoke(device: device, kind: kind, dryRun: $0, reason: confirmation.reason)
        } question: {
            "Take \(Self.extent($0)) of device \($0.device)\(Self.owner($0.user)) away?"
        }
        try global.output.show(reply) { $0.line(Self.sentence(reply)) }
    }

    static func sentence(_ reply: KeyRevoke.Reply) -> String {
        "\(reply.dryRun ? "Would take away" : "Took away") from device \(reply.device)\(owner(reply.user)): \(extent(reply))."
    }

    private static func extent(_ reply: KeyRevoke.Reply) -> String {
        var parts: [String] = []
        if reply.signedPrekey { parts.append("the signed prekey") }
        if reply.lastResortPrekey { parts.append("the last-resort prekey") }
        if reply.oneTimePrekeys > 0 { parts.append(Figures.number(reply.oneTimePrekeys, "one-time prekey")) }
        return parts.joined(separator: ", ")
    }

    static func owner(_ user: String?) -> String { user.map { " of \($0)" } ?? "" }
}

extension RevocableKeys: ExpressibleByArgument {
    package init?(argument: String) { self.init(rawValue: argument) }
}
