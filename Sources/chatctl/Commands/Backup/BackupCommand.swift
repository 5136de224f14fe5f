import ArgumentParser
import RelayBackup
import RelayControl
import RelayModel

/// `chatctl backup`
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copies of the store: make, check, restore and drop them.",
        subcommands: [
            BackupCreateCommand.self, BackupListCommand.self, BackupVerifyCommand.self, BackupPruneCommand.self, BackupRestoreCommand.self,
        ])

    /// Shows how far a run is until it has ended.
    static func follow(_ run: Int, on control: ControlClient, quiet: Bool = false) async throws -> BackupStatus.Finished {
        defer { Talk.endProgress() }
        while true {
            let status = try await control.call(BackupStatus(run: run))
            if let failure = status.failure { throw failure }
            if let finished = status.finished { return finished }
            guard let progress = status.progress else {
                throw ControlError(
                    .failed, "relayd does not know the backup any more: it was started anew, or another one came after it",
                    hint: "chatctl backup list")
            }
            if !quiet { Talk.progress(bar(progress.phase, progress.fraction)) }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    static func bar(_ phase: String, _ fraction: Double) -> String {
        let width = 24
        let full = Int((min(1, max(0, fraction)) * Double(width)).rounded(.down))
        return "[\(String(repeating: "#", count: full))\(String(repeating: ".", count: width - full))] \(phase)"
    }
}

extension Page {
    mutating func backups(_ backups: [BackupRecord]) {
        table(
            ["BACKUP", "MADE", Column("SIZE", .right), Column("SCHEMA", .right), "RELAYD", "STATE"],
            backups.map { backup in
                [
                    Cell(backup.name, .strong), Cell(backup.at.map(Figures.time) ?? ""), Cell(Figures.bytes(backup.bytes)),
                    Cell(backup.schema.map { "\($0)" } ?? ""), Cell(backup.relayVersion ?? ""),
                    backup.problem.map { Cell($0, .bad) } ?? Cell(backup.reason == "upgrade" ? "before an upgrade" : "whole"),
                ]
            })
    }

    mutating func backup(_ done: BackupStatus.Finished) {
        pairs([
            ("backup", Cell(done.path, .strong)), ("made", Cell(done.backup.at.map(Figures.time) ?? "")),
            ("size", Cell(Figures.bytes(done.backup.bytes))),
            ("relayd", Cell("\(done.backup.relayVersion ?? ""), schema \(done.backup.schema.map { "\($0)" } ?? "")")),
            ("holds", Cell(Self.holdings(done.rows, [("users", "user"), ("devices", "device"), ("chats", "chat"), ("messages", "message")]))),
            ("took", Cell("\(Figures.decimal(Double(done.milliseconds) / 1000, digits: 1)) s")),
        ])
    }
}
