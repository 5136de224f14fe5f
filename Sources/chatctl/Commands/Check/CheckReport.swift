import RelayControl
import RelayModel

/// What a check found, from best to worst.
enum CheckResult: String, Codable, Sendable {
    case good
    /// Could not be looked at; says why.
    case skipped
    case warning, error
}

enum CheckGroup: String, Codable, Sendable, CaseIterable { case relay, configuration, files, disk, host }

/// One thing that was looked at.
struct CheckFinding: Codable, Sendable, Equatable {
    var group: CheckGroup
    var check: String
    var result: CheckResult
    /// What was found.
    var text: String
    /// What to do next. Present with every warning and error.
    var advice: String?
}

/// All that `chatctl check` found. Its JSON is a promise to scripts.
struct CheckReport: Codable, Sendable, Equatable {
    enum Verdict: String, Codable, Sendable { case good, warnings, errors }

    var verdict: Verdict
    var warnings: Int
    var errors: Int
    var findings: [CheckFinding]

    init(_ findings: [CheckFinding]) {
        self.findings = findings
        warnings = findings.count { $0.result == .warning }
        errors = findings.count { $0.result == .error }
        verdict = errors > 0 ? .errors : warnings > 0 ? .warnings : .good
    }

    var exitStatus: Int32 {
        switch verdict {
        case .good: 0
        case .warnings: 1
        case .errors: 2
        }
    }
}

/// A check under construction: it may find several things.
struct CheckFindings: Sendable {
    let group: CheckGroup
    let check: String
    private(set) var all: [CheckFinding] = []

    init(_ group: CheckGroup, _ check: String) {
        self.group = group
        self.check = check
    }

    mutating func good(_ text: String) { all.append(CheckFinding(group: group, check: check, result: .good, text: text, advice: nil)) }
    mutating func skip(_ text: String) { all.append(CheckFinding(group: group, check: check, result: .skipped, text: text, advice: nil)) }
    mutating func warn(_ text: String, _ advice: String) {
        all.append(CheckFinding(group: group, check: check, result: .warning, text: text, advice: advice))
    }
    mutating func fail(_ text: String, _ advice: String) {
        all.append(CheckFinding(group: group, check: check, result: .error, text: text, advice: advice))
    }

    /// Nothing was found that is wrong.
    var isClean: Bool { all.allSatisfy { $0.result == .good || $0.result == .skipped } }
}

/// One thing to look at. Each lies in a file of its own.
protocol HostCheck: Sendable {
    var group: CheckGroup { get }
    /// Two words at most.
    var name: String { get }
    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async
}

extension Page {
    mutating func check(_ report: CheckReport) {
        for group in CheckGroup.allCases {
            let findings = report.findings.filter { $0.group == group }
            guard !findings.isEmpty else { continue }
            line(group.rawValue.uppercased(), .strong)
            let width = findings.map { DisplayWidth.of($0.check) }.max() ?? 0
            for finding in findings {
                let (word, tone): (String, Tone) =
                    switch finding.result {
                    case .good: ("good   ", .good)
                    case .skipped: ("skipped", .faint)
                    case .warning: ("WARNING", .warning)
                    case .error: ("ERROR  ", .bad)
                    }
                let padding = String(repeating: " ", count: width - DisplayWidth.of(finding.check))
                let margin: Int
                if narrowColumns == nil {
                    margin = width + 13
                    words([Cell("  "), Cell(word, tone), Cell("  " + finding.check + padding + "  "), Cell(finding.text)])
                } else {
                    margin = 4
                    words([Cell("  "), Cell(word, tone), Cell("  " + finding.check)])
                    words([Cell("    "), Cell(finding.text)])
                }
                if let advice = finding.advice { words([Cell(String(repeating: " ", count: margin)), Cell("→ " + advice, .strong)]) }
            }
            blank()
        }
        switch report.verdict {
        case .good: line("Everything that was looked at is good.", .good)
        case .warnings: line("\(Figures.number(report.warnings, "warning")), no errors.", .warning)
        case .errors: line("\(Figures.number(report.errors, "error")), \(Figures.number(report.warnings, "warning")).", .bad)
        }
    }
}
