import ArgumentParser
import RelayControl

/// `chatctl device list`
struct DeviceListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List devices: whose, online or not, how much waits for them.", examples: ["device list --user alice"])

    @Option(help: ArgumentHelp("Only this user's.", valueName: "user"), completion: .users)
    var user: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(DeviceList(user: user))
        guard !reply.devices.isEmpty || global.json else {
            Talk.say("There are no devices. People enrol them with an invite: chatctl invite create \(user ?? "NAME")")
            return
        }
        try global.output.show(reply) { $0.devices(reply.devices) }
    }
}
