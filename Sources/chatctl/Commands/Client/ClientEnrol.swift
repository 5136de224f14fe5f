import ArgumentParser
import NIOPosix
import RelayClient
import RelayControl
import RelayModel

/// `chatctl client enrol`
struct ClientEnrolCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "enrol", abstract: "Make a device out of an invite.",
        discussion: "Generates the device's keys in the state directory; only the public ones are uploaded.",
        examples: ["client enrol LINK --device phone --state ~/phone"])

    @Argument(help: "The invite link, as `chatctl invite create` prints it.")
    var link: String

    @Option(help: ArgumentHelp("What to call the device, 1 to \(Limits.deviceNameCharacters) characters.", valueName: "name"))
    var device: String

    @OptionGroup var trust: TrustOptions

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await translatingClientErrors {
            let account = try await Enrolment.enrol(
                link: try InviteLink(link, trust: trust.trust), deviceName: device, directory: client.directory,
                group: MultiThreadedEventLoopGroup.singleton)
            let report = EnrolReport(
                user: account.userName, userID: account.user, device: account.device, deviceName: account.deviceName, relay: account.relay,
                state: client.directory.path)
            try client.output.show(report) { page in
                page.line("This is now \(account.userName)'s device “\(account.deviceName)” on \(account.relay).")
                page.pairs([("device", Cell(account.device.description)), ("state", Cell(client.directory.path))])
            }
        }
    }
}
