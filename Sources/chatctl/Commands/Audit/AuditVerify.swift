import ArgumentParser
import RelayControl

/// `chatctl audit verify`
struct AuditVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Recompute the chain of hashes that the log is.",
        discussion: """
            Fails when an entry was changed or is missing. An end that was cut off shows only beside a hash that was written down before: \
            --expect.
            """,
        examples: ["audit verify"])

    @Option(help: ArgumentHelp("Fail unless the log ends with this hash.", valueName: "hash"))
    var expect: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(AuditVerify())
        try global.output.show(reply) { $0.audit(reply) }
        var findings = reply.findings
        if let expect, expect.lowercased() != reply.hash { findings.append("the log does not end with \(expect)") }
        guard findings.isEmpty else {
            throw ControlError(
                .failed, findings.joined(separator: "\n"), hint: "somebody changed the store beside relayd; a backup shows what stood there")
        }
    }
}
