import ArgumentParser

/// `chatctl device`
struct DeviceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device",
        abstract: "Enrolled devices and their keys.",
        subcommands: [DeviceListCommand.self, DeviceShowCommand.self, DeviceKickCommand.self, DeviceRevokeCommand.self])
}
