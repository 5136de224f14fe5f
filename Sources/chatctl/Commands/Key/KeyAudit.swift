import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key audit`
struct KeyAuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Check the signatures of all active devices' keys, and list what operators did about keys.",
        discussion: """
            relayd checks a signature when a device is enrolled: one that is wrong later shows that the store was changed behind its back. \
            Exit status 1 when there is one.
            """,
        examples: ["key audit"])

    /// What was found.
    struct Report: Codable, Sendable {
        var checked: Int
        /// At most ``kept`` of them.
        var wrong: [KeyRecord]
        var wrongCount: Int
        /// What operators did about keys, the newest first.
        var changes: [AuditRecord] = []
    }

    /// More wrong keys than this are only counted: a store where all are wrong must not fill the memory.
    static let kept = Limits.pageSizeCeiling

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let control = global.control
        var report = Report(checked: 0, wrong: [], wrongCount: 0)
        var after: DeviceID?
        repeat {
            let page = try await control.call(KeyAudit(after: after))
            report.checked += page.checked
            report.wrongCount += page.wrong.count
            report.wrong += page.wrong.prefix(Self.kept - report.wrong.count)
            report.changes += page.changes ?? []
            after = page.next
            Talk.progress("\(Figures.number(report.checked, "device")) checked, \(Figures.count(report.wrongCount)) wrong")
        } while after != nil
        Talk.endProgress()
        try global.output.show(report) { $0.keyAudit(report) }
        if report.wrongCount > 0 { throw ExitCode(1) }
    }
}

extension Page {
    mutating func keyAudit(_ report: KeyAuditCommand.Report) {
        guard report.wrongCount > 0 else {
            line("\(Figures.number(report.checked, "device")) checked: every signature is right.", .good)
            return keyChanges(report.changes)
        }
        line("\(Figures.number(report.checked, "device")) checked: \(Figures.number(report.wrongCount, "signature")) wrong.", .bad)
        blank()
        keys(report.wrong)
        keyChanges(report.changes)
    }

    private mutating func keyChanges(_ changes: [AuditRecord]) {
        guard !changes.isEmpty else { return }
        blank()
        audit(changes)
    }
}
