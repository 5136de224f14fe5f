import ArgumentParser
import Glibc
import RelayBackup
import RelayControl
import RelayModel

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

    @Flag(
        name: .customLong("rehearse-upgrade"),
        help: "Try what this version would change in the store on a copy, say how long it takes, and exit. Another version may run meanwhile.")
    var rehearseUpgrade = false

    @Flag(name: .customLong("sample-config"), help: .hidden)
    var sampleConfig = false

    @Option(name: .customLong("record-commands"), help: .hidden)
    var recordCommands: String?

    static func main() async {
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
        let path = config ?? Self.defaultConfiguration
        let file: ConfigurationFile
        do throws(ConfigurationProblems) {
            file = try ConfigurationFile.load(path: path, named: config != nil)
        } catch {
            for problem in error.problems { Self.complain("\(problem)") }
            if !checkConfig { Self.complain("nothing was started; `relayd --check-config` checks again") }
            return ControlErrorCode.configuration.exitStatus
        }
        if checkConfig {
            print(ConfigurationText.listing(file, path: path), terminator: "")
            return 0
        }
        ProcessSetup.begin()
        if rehearseUpgrade { return Self.rehearse(file.configuration) }
        let level = LogLevel(file.configuration.logLevel)
        file.configuration.logDestination.bootstrap(level)
        return await Daemon(path: path, named: config != nil, configuration: file.configuration, level: level, record: recordCommands).run()
    }

    private static func rehearse(_ configuration: Configuration) -> Int32 {
        let upgrade = StoreUpgrade(
            store: configuration.storePath, folder: BackupFolder(path: configuration.effectiveBackups, clock: SystemWallClock()))
        do throws(StoreUpgrade.Refused) {
            print(try upgrade.rehearse(keepsSnapshot: false)?.text ?? "There is nothing to upgrade.\n", terminator: "")
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
