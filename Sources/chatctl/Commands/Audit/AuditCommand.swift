import ArgumentParser
import RelayControl

/// `chatctl audit`
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Who changed what, and who tried to.",
        subcommands: [AuditListCommand.self, AuditVerifyCommand.self])
}

extension Page {
    mutating func audit(_ entries: [AuditRecord]) {
        table(
            [Column("ENTRY", .right), "TIME", Column("UID", .right), "OPERATION", "RESULT", "SUBJECT", "REASON"],
            entries.map { entry in
                let missed = entry.missed.map { " (+ \(Figures.count($0)) not listed)" } ?? ""
                return [
                    Cell("\(entry.number)", .faint), Cell(Figures.time(entry.at)), "\(entry.uid)", Cell(entry.operation, .strong),
                    Cell(entry.result + missed, entry.result == "done" ? .plain : .bad), Cell(entry.subject), Cell(entry.reason ?? ""),
                ]
            })
    }

    mutating func audit(_ reply: AuditVerify.Reply) {
        pairs([
            (
                "entries",
                Cell(Figures.count(reply.entries) + (reply.first.flatMap { first in reply.last.map { ", number \(first) to \($0)" } } ?? ""))
            ), ("last", Cell(reply.lastAt.map(Figures.time) ?? "never")),
            ("erased in", Cell(Figures.number(reply.erased, "entry", "entries"))), ("hash", Cell(reply.hash)),
        ])
    }
}
