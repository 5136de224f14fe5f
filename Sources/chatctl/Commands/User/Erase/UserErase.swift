import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl user erase`
struct UserEraseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "erase", abstract: "Erase a user: look at a plan, then apply it.",
        discussion: """
            Between `apply` and the erasure is a time of grace, in which the user is out as with `user suspend`, nothing is lost, and `cancel` brings \
            them back.
            """,
        subcommands: [UserErasePlanCommand.self, UserEraseApplyCommand.self, UserEraseCancelCommand.self, UserEraseStatusCommand.self])
}

/// How long the user can still be brought back.
struct GraceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How long the user can still be brought back: 90m, 24h or 7d. Without it as relayd is configured.", valueName: "span"))
    var grace: Lifetime?

    @Flag(help: "No time of grace: the user is erased at once.")
    var now = false

    func validate() throws {
        guard grace == nil || !now else { throw ValidationError("--grace and --now exclude each other") }
    }

    var seconds: Int? { now ? 0 : grace?.seconds }

    /// As it is typed.
    static func text(_ seconds: Int) -> String {
        guard seconds > 0 else { return "--now" }
        for (letter, unit) in [("d", 86_400), ("h", 3600), ("m", 60)] where seconds % unit == 0 { return "--grace \(seconds / unit)\(letter)" }
        return "--grace \(seconds)s"
    }
}

extension Page {
    mutating func erasure(_ report: ErasureReport) {
        switch report.state {
        case .planned:
            line("Erasing \(report.user) (\(report.id)) would mean:")
        case .pending:
            line(pending(report), .strong)
            return
        case .erased:
            line("\(report.user) (\(report.id)) is erased.", .strong)
        }
        blank()
        table(
            [
                "TABLE", Column(report.state == .erased ? "WENT" : "GOES", .right), Column(report.state == .erased ? "STAYED" : "STAYS", .right),
                "WHAT AND WHY",
            ],
            (report.entries ?? []).map { entry in
                [Cell(entry.part, .strong), Cell(Figures.count(entry.goes)), Cell(Figures.count(entry.stays)), Cell(entry.why)]
            })
        blank()
        table(
            ["FILE", "HOLDS ANYTHING", "WHY"],
            (report.files ?? []).map { file in
                [Cell(file.file, .strong), Cell(file.holds ? "yes" : "no", file.holds ? .bad : .plain), Cell(file.why)]
            })
        guard report.state == .planned else { return }
        blank()
        if let due = report.dueAt { line("The user is to be erased already, at \(Figures.time(due)).", .bad) }
        pairs([
            ("plan", Cell(report.plan, .strong)),
            ("grace", Cell(report.graceSeconds == 0 ? "none" : Figures.span(.seconds(report.graceSeconds)))),
            ("do it", Cell("chatctl user erase apply \(report.user) --plan \(report.plan) \(GraceOptions.text(report.graceSeconds)) --reason TEXT")),
        ])
    }

    private func pending(_ report: ErasureReport) -> String {
        let due = report.dueAt.map { "\(Figures.time($0)) (in \(Figures.span($0 - now)))" } ?? "once"
        return "\(report.user) is out, and is erased at \(due). Until then: chatctl user erase cancel \(report.user)"
    }

    mutating func erasures(_ erasures: [ErasureRecord]) {
        table(
            ["USER", "ID", "STATE", "ASKED", "ERASED AT"],
            erasures.map { erasure in
                [
                    Cell(erasure.user ?? "", .strong), Cell(erasure.id.description), erasure.hasBegun ? Cell("being erased", .bad) : Cell("in grace"),
                    Cell(Figures.time(erasure.askedAt)),
                    Cell("\(Figures.time(erasure.dueAt))" + (erasure.dueAt > now ? " (in \(Figures.span(erasure.dueAt - now)))" : "")),
                ]
            })
    }
}
