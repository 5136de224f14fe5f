import ArgumentParser
import NIOPosix
import RelayClient
import RelayControl
import RelayModel
import Synchronization

/// `chatctl client link join`
struct ClientLinkJoinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join", abstract: "Make this a device of the user whose other device shows a code.",
        discussion: """
            Generates the device's keys in the state directory and shows a number, which is typed on the old device. When this was interrupted after that, the \
            same command finds out whether the device was added.
            """,
        examples: ["client link join LINK --device laptop --state ~/laptop"])

    @Argument(help: "The link that `chatctl client link start` prints, or the code alone.")
    var link: String

    @Option(help: ArgumentHelp("What to call the device, 1 to \(Limits.deviceNameCharacters) characters.", valueName: "name"))
    var device: String

    @Option(help: ArgumentHelp("The relay, as http://host:port, when the code stands alone.", valueName: "url"))
    var relay: String?

    @OptionGroup var trust: TrustOptions

    @OptionGroup var client: ClientOptions

    func validate() throws {
        guard !device.isEmpty, device.count <= Limits.deviceNameCharacters else {
            throw ValidationError("a device's name has 1 to \(Limits.deviceNameCharacters) characters")
        }
        // The relay would refuse it, but only at the end.
        guard Printable.line(device) == device else { throw ValidationError("the device's name contains a control character") }
    }

    func run() async throws {
        try await translatingClientErrors {
            let address = try LinkAddress(link, relay: relay, trust: trust.trust)
            let output = client.output
            let failure = Mutex<ControlError?>(nil)
            let outcome = try await LinkJoining.join(
                address, deviceName: device, directory: client.directory, group: MultiThreadedEventLoopGroup.singleton
            ) { progress in
                switch progress {
                case .number(let number):
                    do throws(ControlError) {
                        Talk.say("Type this number on the old device:")
                        try output.stream(LinkNumberReport(number: number), line: "\(number.prefix(3)) \(number.suffix(3))")
                    } catch { failure.withLock { [error] in $0 = error } }
                case .admitted: Talk.say("Admitted.")
                case .received(let parts, let keys): Talk.progress("\(Figures.number(parts, "part")), \(Figures.number(keys, "key"))")
                }
            }
            Talk.endProgress()
            if let error = failure.withLock({ $0 }) { throw error }
            let account = outcome.account
            var report = LinkReport(account, device: account.device, named: account.deviceName, outcome.gift)
            report.problem = outcome.problem?.description
            if output.json { try output.stream(report, line: "") } else { try output.show(report) { $0.link(report, gave: false) } }
            if let problem = outcome.problem {
                throw ControlError(
                    .failed, "this device was added, but did not get all: \(problem.description)",
                    hint: "it can be used as it is; to get all, revoke it, and link again in another directory")
            }
        }
    }
}
