import ArgumentParser
import RelayControl

/// `chatctl retention verify`
struct RetentionVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Recompute the proof of purge and hold the store against it.",
        discussion: """
            Fails when an entry was changed or is missing, and when a message is still there that the policies of the last purge did not keep. \
            An end that was cut off shows only beside a hash that was written down before: --expect.
            """,
        examples: ["retention verify"])

    @Option(help: ArgumentHelp("Fail unless the proof ends with this hash.", valueName: "hash"))
    var expect: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(RetentionVerify())
        try global.output.show(reply) { page in
            page.pairs([
                ("purges", Cell(Figures.count(reply.purges))), ("last purge", Cell(reply.lastPurge.map(Figures.time) ?? "never")),
                ("hash", Cell(reply.hash)),
            ])
        }
        var findings = reply.findings
        if let expect, expect.lowercased() != reply.hash { findings.append("the proof does not end with \(expect)") }
        guard findings.isEmpty else {
            throw ControlError(
                .failed, findings.joined(separator: "\n"), hint: "chatctl retention purge deletes what is too old; what was changed stays so")
        }
    }
}
