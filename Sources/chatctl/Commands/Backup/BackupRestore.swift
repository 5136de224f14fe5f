import ArgumentParser
import Glibc
import RelayBackup
import RelayControl
import RelayModel

/// `chatctl backup restore`
struct BackupRestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup in the place of the store, while relayd is stopped.",
        discussion: """
            `plan` says what would be replaced and lost, `apply` does it. Both work on files, as root or as relayd's own user. The store that is \
            there is kept beside the new one.
            """,
        subcommands: [BackupRestorePlanCommand.self, BackupRestoreApplyCommand.self])
}

/// Which backup, and which store.
struct RestoreOptions: ParsableArguments {
    @Argument(help: "A file name in relayd's folder of backups, or a path with a slash.")
    var backup: String

    @Option(help: ArgumentHelp("The store, as in [store] path of relayd.toml.", valueName: "path"))
    var store = "/var/lib/relayd/relay.db"

    @Option(help: ArgumentHelp("relayd's folder of backups (default: the folder backups beside the store).", valueName: "path"))
    var directory: String?

    var path: String {
        if backup.contains("/") { return backup }
        let folder = directory ?? (store.lastIndex(of: "/").map { store[..<$0] + "/backups" } ?? "backups")
        return "\(folder)/\(backup)"
    }

    var restore: Restore { Restore(backup: BackupFile(path: path), store: store, clock: SystemWallClock()) }
}

/// `chatctl backup restore plan`
struct BackupRestorePlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what a backup would replace, and what would be lost. Changes nothing; relayd may run.",
        examples: ["backup restore plan relay-20261121T093000Z.backup"])

    @OptionGroup var options: RestoreOptions
    @OptionGroup var rendering: OutputOptions

    func run() async throws {
        let plan: RestorePlan
        do throws(RestoreError) { plan = try options.restore.plan() } catch { throw ControlError(error, options.path, store: options.store) }
        try rendering.output.show(plan) { $0.restore(plan) }
        Talk.hint("systemctl stop relayd.socket relayd, then: chatctl backup restore apply \(options.backup) --plan \(plan.plan)")
    }
}

/// `chatctl backup restore apply`
struct BackupRestoreApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Check a backup and put it in the place of the store. relayd must be stopped.",
        examples: ["backup restore apply relay-20261121T093000Z.backup --plan 0123-4567-89ab-cdef"])

    @OptionGroup var options: RestoreOptions

    @Option(help: ArgumentHelp("What `plan` printed.", valueName: "fingerprint"))
    var plan: String

    @OptionGroup var rendering: OutputOptions

    func run() async throws {
        let report: RestoreReport
        do throws(RestoreError) {
            report = try options.restore.apply(plan: plan, uid: getuid(), progress: { Talk.progress(BackupCommand.bar("restoring", $0)) })
            Talk.endProgress()
        } catch {
            Talk.endProgress()
            throw ControlError(error, options.path, store: options.store)
        }
        try rendering.output.show(report) { page in
            page.pairs([
                ("store", Cell(report.store, .strong)), ("as of", Cell(Figures.time(report.backup.at))),
                ("before", Cell(report.before ?? "there was none")),
            ])
        }
        Talk.hint("systemctl start relayd" + (report.before.map { "; when all is well, delete \($0): it holds all that was deleted" } ?? ""))
    }
}

extension Page {
    mutating func restore(_ plan: RestorePlan) {
        let now: Cell =
            if let problem = plan.storeProblem {
                Cell("cannot be read: \(problem)", .bad)
            } else if let bytes = plan.storeBytes {
                Cell("\(Figures.bytes(bytes)), schema \(plan.storeSchema.map { "\($0)" } ?? "unknown"): will be replaced, and kept beside it")
            } else {
                Cell("there is none")
            }
        pairs([
            ("backup of", Cell("\(Figures.time(plan.backup.at)) (\(Figures.span(self.now - plan.backup.at)) ago)", .strong)),
            ("made by", Cell("relayd \(plan.backup.relayVersion), schema \(plan.backup.schema)")),
            (
                "holds",
                Cell(
                    "\(Figures.count(plan.backup.rows["users"] ?? 0)) users, \(Figures.count(plan.backup.rows["devices"] ?? 0)) devices, \(Figures.count(plan.backup.rows["messages"] ?? 0)) messages"
                )
            ), ("store", Cell(plan.store, .strong)), ("now", now),
            ("room", Cell("\(Figures.bytes(plan.needed)) needed, \(Figures.bytes(plan.free)) free", plan.free < plan.needed ? .bad : .plain)),
            ("plan", Cell(plan.plan, .strong)),
        ])
        guard let losses = plan.losses else { return }
        blank()
        table(
            [Column("SINCE THE BACKUP", .left), Column("", .right), "AFTER A RESTORE"],
            [
                ["messages that came", Cell(Figures.count(losses.messages)), "gone from the relay; devices that have them keep them"],
                ["users who came", Cell(Figures.count(losses.users)), "unknown: add them again"],
                ["devices that came", Cell(Figures.count(losses.devices)), "unknown: enrol them again"],
                [
                    "users who were removed", Cell(Figures.count(losses.revivedUserCount), losses.revivedUserCount > 0 ? .bad : .plain),
                    "there again: remove or erase them again",
                ],
                [
                    "devices that were revoked", Cell(Figures.count(losses.revivedDeviceCount), losses.revivedDeviceCount > 0 ? .bad : .plain),
                    "may sign in again: revoke them again",
                ],
            ])
        if !losses.revivedUsers.isEmpty { line("users: \(losses.revivedUsers.joined(separator: " "))") }
        if !losses.revivedDevices.isEmpty { line("devices: \(losses.revivedDevices.joined(separator: " "))") }
    }
}
