import RelayControl
import RelayModel

/// What an audit found. It names places, never what stands there: the report may be kept.
struct PrivacyReport: Codable, Sendable, Equatable {
    enum State: String, Codable, Sendable { case clean, found, skipped }

    struct Check: Codable, Sendable, Equatable {
        var name: String
        var state: State
        /// What was looked at, or why it was not.
        var detail: String
    }

    struct Finding: Codable, Sendable, Equatable {
        var check: String
        /// A file with a line or an offset, a table and column, a process.
        var place: String
        var what: String
    }

    var checks: [Check] = []
    /// At most ``Limits/auditFindings`` of them.
    var findings: [Finding] = []
    var findingCount = 0

    /// Runs one check: what it adds to the findings decides its state.
    mutating func check(_ name: String, _ body: (inout Findings) throws(PrivacySkip) -> String) {
        var found = Findings(check: name, room: Limits.auditFindings - findings.count)
        let detail: String
        var skipped = false
        do throws(PrivacySkip) {
            detail = try body(&found)
        } catch {
            detail = error.reason
            skipped = true
        }
        findings += found.kept
        findingCount += found.count
        checks.append(Check(name: name, state: found.count > 0 ? .found : skipped ? .skipped : .clean, detail: detail))
    }

    /// The findings of one check.
    struct Findings {
        let check: String
        let room: Int
        private(set) var kept: [Finding] = []
        private(set) var count = 0

        init(check: String, room: Int) {
            self.check = check
            self.room = room
        }

        mutating func add(_ place: String, _ what: String) {
            count += 1
            if kept.count < room { kept.append(Finding(check: check, place: place, what: what)) }
        }
    }
}

/// Why a check could not be made. It is no finding, and is told.
struct PrivacySkip: Error {
    var reason: String
}

extension Page {
    mutating func privacy(_ report: PrivacyReport) {
        table(
            ["CHECK", "RESULT", "LOOKED AT"],
            report.checks.map { check in
                let result: Cell =
                    switch check.state {
                    case .clean: Cell("nothing found", .good)
                    case .found: Cell("FOUND", .bad)
                    case .skipped: Cell("not checked", .faint)
                    }
                return [Cell(check.name, .strong), result, Cell(check.detail)]
            })
        guard !report.findings.isEmpty else { return }
        blank()
        table(["CHECK", "PLACE", "FINDING"], report.findings.map { [Cell($0.check), Cell($0.place, .strong), Cell($0.what, .bad)] })
        if report.findingCount > report.findings.count {
            line("and \(Figures.count(report.findingCount - report.findings.count)) more", .faint)
        }
    }
}
