import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl device kick`
struct DeviceKickCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kick", abstract: "End a device's connection; its client comes back by itself.",
        discussion: "Nothing is revoked and nothing is lost. `chatctl device revoke` ends the device, `chatctl user suspend` keeps the user away.",
        examples: ["device kick 382364223419711500"])

    @Argument(help: "The device's number, as `chatctl device list` shows it.", completion: .devices)
    var device: DeviceID

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(DeviceKick(device: device, reason: reason))
        try global.output.show(reply) { page in
            page.line(
                "Device \(reply.device) (\(reply.name)) of \(reply.user) \(reply.wasConnected ? "was disconnected" : "was not connected").")
        }
    }
}
