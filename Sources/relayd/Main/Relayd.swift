import ArgumentParser
import FoundationEssentials
import Glibc
import RelayBackup
import RelayControl
import RelayModel
import RelayTLS

/// `relayd`: reads its options, then runs the daemon.
@main
struct Relayd: AsyncParsableCommand {
    static let defaultConfiguration = "/etc/relayd/relayd.toml"

    static let configuration = CommandConfiguration(
        commandName: "relayd",
        abstract: "Stores and forwards end-to-end-encrypted messages.",
        discussion: """
            Runs in the foreground and is meant to be started by systemd. SIGHUP reloads the configuration, SIGTERM stops cleanly. \
            Operate it with chatctl. Exit status: 0 stopped as asked, 1 failed, 64 wrong usage, 78 wrong configuration.
            """,
        version: "relayd \(relayVersion)")

    @Option(help: ArgumentHelp("The configuration file (default: \(defaultConfiguration), if it exists).", valueName: "path"))
    var config: String?

    @Flag(name: .customLong("check-config"), help: "Check the configuration, list what is in force, and exit.")
    var checkConfig = false

    @Flag(help: "Print what --check-config lists as JSON.")
    var json = false

    @Flag(name: .customLong("manual-options"), help: .hidden)
    var manualOptions = false
    @Flag(
        name: .customLong("rehearse-upgrade"),
        help: "Try what this version would change in the store on a copy, say how long it takes, and exit. Another version may run meanwhile.")
    var rehearseUpgrade = false

    @Flag(name: .customLong("sample-config"), help: .hidden)
    var sampleConfig = false

    @Option(name: .customLong("record-commands"), help: .hidden)
    var recordCommands: String?

    func validate() throws {
        if json, !checkConfig { throw ValidationError("--json says how --check-config prints: name both") }
    }

    static func main() async {
        HelpWidth.ensure()
        do {
            let command = try parseAsRoot()
            guard let relayd = command as? Relayd else { exit(withError: CleanExit.helpRequest()) }
            Glibc.exit(await relayd.start())
        } catch {
            exit(withError: error)
        }
    }

    /// Gives the exit status.
    private func start() async -> Int32 {
        if sampleConfig {
            print(ConfigurationText.sample, terminator: "")
            return 0
        }
        if manualOptions {
            print(ConfigurationManual.options, terminator: "")
            return 0
        }
        let path = config ?? Self.defaultConfiguration
        let file: ConfigurationFile
        do throws(ConfigurationProblems) {
            file = try ConfigurationFile.load(path: path, named: config != nil)
        } catch {
            for problem in error.problems { Self.complain("\(problem)") }
            if !checkConfig { Self.complain("nothing was started; `relayd --check-config` checks again") }
            return ControlErrorCode.configuration.exitStatus
        }
        let identity: TLSIdentity?
        do throws(TLSIdentityError) { identity = try file.configuration.identity() } catch {
            // Credentials are there for the unit alone. Whoever only looks can do without; the daemon cannot.
            guard checkConfig || rehearseUpgrade, case .noCredentials(let name) = error else {
                Self.complain("\(path): [tls]: \(error)")
                return ControlErrorCode.configuration.exitStatus
            }
            Self.complain("\(path): [tls]: \(name) is a credential of the service manager: the certificate and its key were not looked at")
            identity = nil
        }
        if checkConfig {
            return list(file, path)
        }
        ProcessSetup.begin()
        if rehearseUpgrade { return Self.rehearse(file.configuration) }
        let level = LogLevel(file.configuration.logLevel)
        file.configuration.logDestination.bootstrap(level)
        var daemon = Daemon(
            inForce: ConfigurationInForce(path: path, named: config != nil, file: file), configuration: file.configuration,
            configured: file.configuration, level: level, record: recordCommands, identity: identity)
        do throws(InheritedSockets.Problem) {
            try daemon.use(InheritedSockets.take())
        } catch {
            Self.complain("\(error)")
            return ControlErrorCode.configuration.exitStatus
        }
        return await daemon.run()
    }

    /// What `--check-config` prints.
    private func list(_ file: ConfigurationFile, _ path: String) -> Int32 {
        guard json else {
            print(ConfigurationText.listing(file, path: path), terminator: "")
            return 0
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let reply = ConfigurationText.records(file.configuration, lines: file.lines, path: file.isThere ? path : nil)
        guard let bytes = try? encoder.encode(reply) else { return ControlErrorCode.failed.exitStatus }
        print(String(decoding: bytes, as: UTF8.self))
        return 0
    }

    private static func rehearse(_ configuration: Configuration) -> Int32 {
        let upgrade = StoreUpgrade(
            store: configuration.storePath, folder: BackupFolder(path: configuration.effectiveBackups, clock: SystemWallClock()))
        // What root made in the folder of backups could keep relayd from it.
        let owner: FolderOwner
        do throws(FolderOwner.Refused) { owner = try FolderOwner(of: BackupFile.folder(of: configuration.storePath)) } catch {
            complain(error.description)
            return ControlErrorCode.configuration.exitStatus
        }
        defer { owner.end() }
        do throws(StoreUpgrade.Refused) {
            print(try upgrade.rehearse()?.text ?? "There is nothing to upgrade.\n", terminator: "")
            return 0
        } catch {
            complain(error.description)
            complain(error.hint)
            return ControlErrorCode.configuration.exitStatus
        }
    }

    private static func complain(_ text: String) {
        StandardErrorSink.plain("relayd: \(text)")
    }
}
