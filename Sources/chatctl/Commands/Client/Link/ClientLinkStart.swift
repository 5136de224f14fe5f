import ArgumentParser
import RelayClient
import RelayControl
import RelayCrypto
import RelayModel

/// `chatctl client link start`
struct ClientLinkStartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Show a code for a new device, and add it when its number was typed here.",
        discussion: """
            The code works once, for ten minutes. The number that the new device shows is read from the standard input; what is typed here is compared, so that \
            nobody confirms without looking. An empty line refuses. Nothing is added before.
            """,
        examples: ["client link start --with-history --state ~/phone"])

    @Flag(name: .customLong("with-history"), help: "Also give the keys of the messages that were sent before, as far as the relay still has them.")
    var withHistory = false

    @Flag(inversion: .prefixedNo, help: "The link as a QR code. Without either: when the output is a terminal.")
    var qr: Bool?

    @OptionGroup var client: ClientOptions

    /// Typing errors; a number that somebody guesses is right once in a million.
    private static let attempts = 3

    func run() async throws {
        try await translatingClientErrors {
            let session = try Session(client.directory)
            do {
                try await link(session)
                await session.close()
            } catch {
                await session.close()
                throw error
            }
        }
    }

    private func link(_ session: Session) async throws {
        let offering = try await LinkOffering(session)
        do {
            try await link(session, offering)
            await offering.close()
        } catch {
            // The new device shall not wait for what will not come.
            await offering.end()
            await offering.close()
            throw error
        }
    }

    private func link(_ session: Session, _ offering: LinkOffering) async throws {
        let output = client.output
        let text = offering.address.text
        let issued = LinkIssuedReport(link: text, code: offering.address.code.text, expiresAt: offering.expires)
        let code =
            !output.json && (qr ?? output.terminal)
            ? try QRCode.render(text, color: output.color, ascii: output.ascii, columns: output.columns) + "\n" : ""
        try output.stream(issued, line: code + text)
        Talk.say("On the new device: chatctl client link join '\(text)' --device NAME --state DIR")
        Talk.say("Waiting for it; ten minutes, or until this is ended.")
        let applicant = try await offering.applicant()
        guard confirms(applicant) else { throw ClientError.linkRefused }
        let device = try await offering.admit(applicant)
        Talk.say("“\(applicant.deviceName)” is admitted.")
        do throws(ClientError) {
            let (gift, withoutKey) = try await offering.give(applicant, history: withHistory) { parts, keys in
                Talk.progress("\(Figures.number(parts, "part")), \(Figures.number(keys, "key"))")
            }
            Talk.endProgress()
            var report = LinkReport(session.account, device: device, named: applicant.deviceName, gift)
            if withHistory { report.messagesWithoutKey = withoutKey }
            try show(report)
        } catch {
            Talk.endProgress()
            var report = LinkReport(session.account, device: device, named: applicant.deviceName, nil)
            report.problem = error.description
            try show(report)
            throw ControlError(
                .failed, "the device was added, but not all was given: \(error.description)",
                hint: "it can be used as it is; to give all, revoke it and link again")
        }
    }

    private func show(_ report: LinkReport) throws(ClientError) {
        do throws(ControlError) {
            if client.output.json {
                try client.output.stream(report, line: "")
            } else {
                try client.output.show(report) { $0.link(report, gave: true) }
            }
        } catch { throw .store(error.message) }
    }

    private func confirms(_ applicant: LinkOffering.Applicant) -> Bool {
        for attempt in 1...Self.attempts {
            guard let typed = Talk.ask("“\(applicant.deviceName)” wants to be added. Type the number that it shows, or nothing to refuse:"),
                !typed.isEmpty
            else { return false }
            if applicant.session.matches(typed) { return true }
            Talk.say(
                attempt < Self.attempts
                    ? "This is not the number. If the new device shows it, another device has the code: refuse." : "This is not the number.")
        }
        return false
    }
}
