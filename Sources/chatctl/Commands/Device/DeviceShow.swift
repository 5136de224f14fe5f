import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl device show`
struct DeviceShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show a device.", examples: ["device show 382364223419711500"])

    @Argument(help: "The device's number, as `chatctl device list` shows it.", completion: .devices)
    var device: DeviceID

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(DeviceShow(device: device))
        try global.output.show(reply) { $0.device(reply) }
    }
}
