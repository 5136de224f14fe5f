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
            `plan` says what would be replaced and lost, `apply` does it. Both work on files, as root or as relayd's own user, and find them as the \
            configuration says. The store that is there is kept beside the new one.
            """,
        subcommands: [BackupRestorePlanCommand.self, BackupRestoreApplyCommand.self])
}

/// Which backup, and which store.
struct RestoreOptions: ParsableArguments {
    @Argument(help: "A file name in relayd's folder of backups, or a path with a slash.", completion: .file())
    var backup: String

    @Option(help: ArgumentHelp("The store, instead of [store] path of the configuration.", valueName: "path"), completion: .file())
    var store: String?

    @Option(
        help: ArgumentHelp(
            "The folder of backups, instead of [backup] directory of the configuration; with --store: instead of the folder backups beside it.",
            valueName: "path"), completion: .directory)
    var directory: String?

    @Option(help: ArgumentHelp("The configuration (default: where relayd looks).", valueName: "path"), completion: .file())
    var config: String?

    @Option(
        help: ArgumentHelp("relayd's program, which reads the configuration (default: beside chatctl, else /usr/sbin/relayd).", valueName: "path"),
        completion: .file())
    var relayd: String?

    func validate() throws {
        if [backup, store, directory, config, relayd].contains("") { throw ValidationError("a path cannot be empty") }
        if store != nil, config != nil || relayd != nil {
            throw ValidationError("with --store the configuration is not asked: leave out --config and --relayd, or --store")
        }
    }

    /// The files that a restore is about.
    struct Places {
        var backup: String
        var store: String

        var restore: Restore { Restore(backup: BackupFile(path: backup), store: store, clock: SystemWallClock()) }
    }

    /// As the options say, else as the configuration does. Asked of the file and not of a running relay: relayd must be stopped for the restore, and the
    /// store that it opens afterwards is the one that the file names.
    func places() throws(ControlError) -> Places {
        var store = store
        var directory = directory
        if store == nil {
            let configuration: ConfigShow.Reply
            do throws(ProgramFailure) { configuration = try RelaydProgram.configuration(path: config, program: relayd) } catch {
                throw ControlError(
                    .configuration, (["where the store is cannot be read from the configuration"] + error.lines).joined(separator: "\n"),
                    hint: "mend that, or name the store with --store and the folder of backups with --directory")
            }
            store = configuration.text("store.path")
            directory = directory ?? configuration.text("backup.directory").flatMap { $0.isEmpty ? nil : $0 }
        }
        guard let store else {
            throw ControlError(.versionMismatch, "relayd is of another version than this chatctl", hint: "name the store with --store")
        }
        let folder = directory ?? (store.lastIndex(of: "/").map { store[..<$0] + "/backups" } ?? "backups")
        return Places(backup: backup.contains("/") ? backup : "\(folder)/\(backup)", store: store)
    }

    /// As it is typed. Whoever connects to the socket would start relayd again.
    static let stop = "systemctl stop relayd.socket relayd"

    /// The same options behind another verb, as they are typed.
    func line(_ verb: String, _ more: [String] = []) -> String {
        let named = [("--store", store), ("--directory", directory), ("--config", config), ("--relayd", relayd)]
        return ShellWord.line(
            ["chatctl", "backup", "restore", verb, backup] + named.flatMap { name, value in value.map { [name, $0] } ?? [] } + more)
    }
}

/// `chatctl backup restore plan`
struct BackupRestorePlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what a backup would replace, and what would be lost. Changes nothing; relayd may run.",
        examples: ["backup restore plan relay-20261121T093000Z.backup"])

    @OptionGroup var options: RestoreOptions
    @OptionGroup var rendering: OutputOptions

    func run() async throws {
        let places = try options.places()
        // Asked first: who ends meanwhile has changed the store.
        let isLive = places.restore.isLive
        let plan: RestorePlan
        do throws(RestoreError) { plan = try places.restore.plan() } catch { throw ControlError(error, places.backup, store: places.store) }
        try rendering.output.show(plan) { $0.restore(plan) }
        // Lines that can be typed as they are. The end of relayd empties the log of the store, and this plan is of another one then.
        Talk.hint(RestoreOptions.stop + "\n" + (isLive ? options.line("plan") : options.line("apply", ["--plan", plan.plan])))
    }
}

/// `chatctl backup restore apply`
struct BackupRestoreApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Check a backup and put it in the place of the store. relayd must be stopped.",
        examples: ["backup restore apply /mnt/usb/relay.backup --plan 0123-4567-89ab-cdef"])

    @OptionGroup var options: RestoreOptions

    @Option(help: ArgumentHelp("What `plan` printed.", valueName: "fingerprint"))
    var plan: String

    @OptionGroup var rendering: OutputOptions

    func run() async throws {
        let places = try options.places()
        let report: RestoreReport
        do throws(RestoreError) {
            report = try places.restore.apply(plan: plan, uid: getuid(), progress: { Talk.progress(BackupCommand.bar("restoring", $0)) })
            Talk.endProgress()
        } catch {
            Talk.endProgress()
            var told = ControlError(error, places.backup, store: places.store)
            let again = options.line("plan") + "\nlook again, and apply that plan"
            switch error {
            case .planOutdated: told.hint = again
            case .live: told.hint = RestoreOptions.stop + "\n" + again
            default: break
            }
            throw told
        }
        try rendering.output.show(report) { $0.restored(report) }
        Talk.hint("systemctl start relayd")
        if let before = report.before {
            Talk.hint("when all is well, delete what was there before, which holds all that was deleted:\nrm \(ShellWord.quoted(before))*")
        }
    }
}

extension Page {
    /// `2 users, 1 device, 1,234 messages`
    static func holdings(_ rows: [String: Int], _ tables: [(table: String, one: String)]) -> String {
        tables.map { Figures.number(rows[$0.table] ?? 0, $0.one) }.joined(separator: ", ")
    }

    mutating func restored(_ report: RestoreReport) {
        pairs([
            ("store", Cell(report.store, .strong)), ("as of", Cell(Figures.time(report.backup.at))),
            ("before", Cell(report.before ?? "there was none")),
        ])
    }

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
            ("holds", Cell(Self.holdings(plan.backup.rows, [("users", "user"), ("devices", "device"), ("messages", "message")]))),
            ("store", Cell(plan.store, .strong)), ("now", now),
            ("room", Cell("\(Figures.bytes(plan.needed)) needed, \(Figures.bytes(plan.free)) free", plan.free < plan.needed ? .bad : .plain)),
            ("plan", Cell(plan.plan, .strong)),
        ])
        guard let losses = plan.losses else { return }
        blank()
        table(
            [Column("SINCE THE BACKUP", .left), Column("COUNT", .right), "AFTER A RESTORE"],
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
