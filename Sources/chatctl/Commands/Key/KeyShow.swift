import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key show`
struct KeyShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a device's keys, also those of a revoked one.", examples: ["key show 382364223419711500"])

    @Argument(help: "The device's number, as `chatctl key list` shows it.", completion: .devices)
    var device: DeviceID

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(KeyShow(device: device))
        try global.output.show(reply) { $0.key(reply) }
    }
}
