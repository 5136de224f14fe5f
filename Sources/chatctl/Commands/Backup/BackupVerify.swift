import ArgumentParser
import RelayBackup
import RelayControl

/// `chatctl backup verify`
struct BackupVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Read a backup as a whole, and say whether it can be restored.",
        discussion: """
            Checks its hash, SQLite's own structures, the schema, the number of rows in each table, and the chains of the audit log and of the proof \
            of purge. A name is one of relayd's folder; a path is a file that this command reads itself, without relayd.
            """,
        examples: ["backup verify relay-20261121T093000Z.backup"])

    @Argument(help: "A name that `list` shows, or a path with a slash.", completion: .backups)
    var backup: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let finished: BackupStatus.Finished
        if backup.contains("/") {
            let file = BackupFile(path: backup)
            do throws(BackupError) {
                let verdict = try file.verify(progress: { Talk.progress(BackupCommand.bar("checking", $0)) })
                let manifest = verdict.manifest
                finished = BackupStatus.Finished(
                    backup: BackupRecord(
                        name: backup, bytes: file.bytes, at: manifest.at, relayVersion: manifest.relayVersion, schema: manifest.schema,
                        reason: manifest.reason.rawValue), path: backup, rows: manifest.rows, findings: verdict.findings, milliseconds: 0)
                Talk.endProgress()
            } catch {
                Talk.endProgress()
                throw ControlError(error, backup)
            }
        } else {
            let control = global.control
            finished = try await BackupCommand.follow(try await control.call(BackupVerify(backup: backup)).run, on: control)
        }
        try global.output.show(finished) { $0.backup(finished) }
        guard finished.findings.isEmpty else {
            throw ControlError(.failed, (["\(backup) cannot be trusted"] + finished.findings).joined(separator: "\n"), hint: "use another backup")
        }
        Talk.say("It is whole and can be restored.")
    }
}
