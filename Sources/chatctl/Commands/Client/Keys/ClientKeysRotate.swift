import ArgumentParser
import RelayClient
import RelayControl
import RelayModel

/// `chatctl client keys rotate`
struct ClientKeysRotateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Replace the agreement key now.",
        discussion: """
            The new key is in the state directory before the relay hears of it. When the relay cannot be reached it stays there, and the next `send` or \
            `listen` goes on with it.
            """,
        examples: ["client keys rotate --state ~/phone"])

    @Option(
        help: ArgumentHelp("How long others may go on sealing for the former key, as 7d, 12h or 0; at most 30d. Without it 7d.", valueName: "span"))
    var grace: Grace?

    @Flag(
        name: .customLong("forget-former"),
        help: "Delete all former secrets at once, without a grace. What was sealed for them and has not come yet is asked for again.")
    var forgetFormer = false

    @OptionGroup var client: ClientOptions

    /// A span, or none at all.
    struct Grace: ExpressibleByArgument {
        var duration: Duration

        init?(argument: String) {
            if argument == "0" {
                duration = .zero
            } else {
                guard let span = Lifetime(argument: argument) else { return nil }
                duration = .seconds(span.seconds)
            }
        }
    }

    func validate() throws {
        if forgetFormer, let grace, grace.duration > .zero {
            throw ValidationError("--forget-former leaves no grace: give it or --grace, not both")
        }
        if let grace, grace.duration > Limits.keyGraceCeiling {
            throw ValidationError("--grace is at most \(Limits.keyGraceCeiling.components.seconds / 86_400)d")
        }
    }

    func run() async throws {
        try await translatingClientErrors {
            let session = try Session(client.directory)
            do {
                let version = try await session.replaceKey(grace: grace?.duration, forgettingFormer: forgetFormer)
                let report = ClientKeysReport(await session.agreementKeys, session.account)
                await session.close()
                try client.output.show(report) { page in
                    page.line("The relay has this device's key number \(version).", .good)
                    page.blank()
                    page.clientKeys(report)
                }
            } catch {
                let waits = await session.agreementKeys.contains { $0.stage == .pending }
                await session.close()
                if waits { Talk.say("the new key is kept; the next `send` or `listen` gives it to the relay") }
                throw error
            }
        }
    }
}
