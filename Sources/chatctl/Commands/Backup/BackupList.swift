import ArgumentParser
import Glibc
import RelayBackup
import RelayControl
import RelayModel

/// `chatctl backup list`
struct BackupListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the backups in relayd's folder, the newest first.",
        discussion: """
            Whether one can be restored, `chatctl backup verify` finds out by reading it. While relayd does not run, this command reads the folder \
            itself, as root or as relayd's own user.
            """, examples: ["backup list"])

    @Option(help: ArgumentHelp("The configuration of a stopped relay (default: where relayd looks).", valueName: "path"), completion: .file())
    var config: String?

    @Option(help: ArgumentHelp("relayd's program (default: beside chatctl, else /usr/sbin/relayd).", valueName: "path"), completion: .file())
    var relayd: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply: BackupList.Reply
        do throws(ControlError) { reply = try await global.control.call(BackupList()) } catch { reply = try look(instead: error) }
        guard !reply.backups.isEmpty || global.json else {
            Talk.say("There is no backup in \(reply.folder).")
            return
        }
        try global.output.show(reply) { $0.backups(reply.backups) }
    }

    /// Of a relay that is stopped, or refuses to start: that is when somebody looks for a way back.
    private func look(instead unreachable: ControlError) throws(ControlError) -> BackupList.Reply {
        guard unreachable.code == .daemonUnreachable else { throw unreachable }
        let configuration: ConfigShow.Reply
        do throws(ProgramFailure) { configuration = try RelaydProgram.configuration(path: config, program: relayd) } catch {
            throw ControlError(
                unreachable.code,
                ([unreachable.message, "where its backups are cannot be read from the configuration"] + error.lines).joined(separator: "\n"),
                hint: unreachable.hint)
        }
        // The socket may be that of a relay with another configuration.
        guard config != nil || configuration.text("control.socket") == global.socketPath, let path = configuration.backups else { throw unreachable }
        guard access(path, R_OK | X_OK) == 0 else {
            let why = errno
            throw ControlError(
                unreachable.code, unreachable.message + "\nits backups in \(path) cannot be read: \(String(cString: strerror(why)))",
                hint: why == EACCES ? "backups are for root and relayd's own user: sudo chatctl backup …" : unreachable.hint)
        }
        let folder = BackupFolder(path: path, clock: SystemWallClock())
        let entries: [BackupEntry]
        do throws(BackupError) { entries = try folder.entries() } catch { throw ControlError(error, path) }
        Talk.say("relayd is not running; this is what lies in \(path).")
        return BackupList.Reply(folder: path, backups: entries.map { BackupRecord($0) })
    }
}

extension ConfigShow.Reply {
    /// The folder of backups: beside the store where no other is named.
    fileprivate var backups: String? {
        if let named = text("backup.directory"), !named.isEmpty { return named }
        return text("store.path").map { BackupFile.folder(of: $0) + "/backups" }
    }
}
