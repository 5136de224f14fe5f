import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl device revoke`
struct DeviceRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "End a device: its tokens and connections die at once.",
        discussion: "What it has already received stays on it. The user's other devices go on.",
        examples: ["device revoke 382364223419711500 --yes --reason lost"])

    @Argument(help: "The device's number, as `chatctl device list` shows it.", completion: .devices)
    var device: DeviceID

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await confirmation.perform("device revoke", on: global.control) {
            DeviceRevoke(device: device, dryRun: $0, reason: confirmation.reason)
        } question: {
            "Revoke device \($0.device.id) (\($0.device.name)) of \($0.device.user)?"
        }
        try global.output.show(reply) { page in
            page.line("Device \(reply.device.id) (\(reply.device.name)) of \(reply.device.user) \(reply.dryRun ? "would be" : "was") revoked.")
        }
    }
}
