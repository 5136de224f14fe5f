import ArgumentParser
import RelayBackup
import RelayControl

/// `chatctl backup create`
struct BackupCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Copy the store while it is in use.",
        discussion: """
            relayd makes the copy in its folder, checks it, and goes on when this command is interrupted. With --to the finished backup is copied \
            to a file of your own as well, to take it to another machine.
            """,
        examples: ["backup create", "backup create --to /mnt/usb/relay.backup"])

    @Option(help: ArgumentHelp("Copy the finished backup to this file, which must not be there yet.", valueName: "file"), completion: .file())
    var to: String?

    @Flag(help: "For cron: say nothing unless something is wrong.")
    var cron = false

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let control = global.control
        let run = try await control.call(BackupCreate(reason: reason ?? (cron ? "cron" : nil))).run
        var finished = try await BackupCommand.follow(run, on: control, quiet: cron)
        if let to {
            let file = BackupFile(path: finished.path)
            do throws(BackupError) {
                try file.copy(to: to, progress: { if !cron { Talk.progress(BackupCommand.bar("copying to \(to)", $0)) } })
                let verdict = try BackupFile(path: to).verify()
                guard verdict.findings.isEmpty else { throw .damaged(verdict.findings.joined(separator: ", ")) }
            } catch {
                Talk.endProgress()
                Talk.say("The backup is in \(finished.path); it was not copied to \(to).")
                throw ControlError(error, to)
            }
            Talk.endProgress()
            finished.path = to
        }
        guard !cron else { return }
        try global.output.show(finished) { $0.backup(finished) }
    }
}
