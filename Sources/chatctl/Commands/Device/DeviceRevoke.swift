import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl device revoke`
struct DeviceRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "End a device: its tokens and connections die at once.",
        discussion: "What it has already received stays on it. The user's other devices go on.")

    @Argument(help: "The device's number, as `chatctl device list` shows it.")
    var device: DeviceID

    @OptionGroup var confirmation: Confirmation
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        try confirmation.checkThatSomebodyCanAnswer("device revoke")
        let control = global.control
        if !confirmation.dryRun, !confirmation.yes {
            let plan = try await control.call(DeviceRevoke(device: device, dryRun: true))
            try confirmation.ask("Revoke device \(plan.device.id) (\(plan.device.name)) of \(plan.device.user)?")
        }
        let reply = try await control.call(DeviceRevoke(device: device, dryRun: confirmation.dryRun, reason: confirmation.reason))
        try global.output.show(reply) { page in
            page.line("Device \(reply.device.id) (\(reply.device.name)) of \(reply.device.user) \(reply.dryRun ? "would be" : "was") revoked.")
        }
    }
}
