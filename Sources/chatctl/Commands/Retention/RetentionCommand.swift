import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl retention`
struct RetentionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retention",
        abstract: "How long messages stay on the relay, and the proof that they go.",
        subcommands: [
            RetentionShowCommand.self, RetentionSetCommand.self, RetentionAssignCommand.self, RetentionPlanCommand.self,
            RetentionPurgeCommand.self, RetentionStopCommand.self, RetentionStatusCommand.self, RetentionVerifyCommand.self,
        ])
}

extension RetentionRule {
    var words: String {
        switch self {
        case .undelivered: "too old, whoever has it"
        case .delivered: "old, and everybody has it"
        case .onceDelivered: "everybody has it"
        case .space: "beyond its users' space"
        }
    }
}

extension Page {
    mutating func retention(_ classes: [RetentionClassRecord]) {
        func days(_ days: Int?) -> Cell { days.map { Cell(Figures.number($0, "day")) } ?? Cell("for ever") }
        table(
            ["CLASS", "USERS", "DELIVERED", "UNDELIVERED", "A USER'S SPACE"],
            classes.map { record in
                [
                    record.name.isEmpty ? Cell("(all others)", .faint) : Cell(record.name, .strong),
                    Cell(record.users.map(Figures.count) ?? ""),
                    record.policy.onceDelivered ? Cell("gone at once") : days(record.policy.deliveredDays), days(record.policy.undeliveredDays),
                    Cell(record.policy.userBytes.map(Figures.bytes) ?? "any"),
                ]
            })
    }

    mutating func retention(_ plan: RetentionPlan.Reply) {
        table(
            [Column("RULE"), Column("MESSAGES", .right), Column("SIZE", .right), Column("")],
            plan.rules.map {
                [
                    Cell($0.rule.rawValue, .strong), Cell(Figures.count($0.messages)), Cell(Figures.bytes($0.bytes)), Cell($0.rule.words, .faint),
                ]
            })
    }
}
