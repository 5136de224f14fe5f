import ArgumentParser
import RelayControl

/// `chatctl check`
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Look whether this relay and its host are as they should be, and say what to do where they are not.",
        discussion: """
            Changes nothing; it writes a small file into the store's directory to measure the disk, and removes it. Needs root for all of it, and looks \
            at what it can otherwise, also while relayd is stopped. Exit status 0 when everything is good, 1 with warnings, 2 with errors.
            """, examples: ["check", "check disk host", "check --quick --json"])

    @Argument(help: "Only these groups: relay, configuration, files, disk, host.")
    var group: [CheckGroup] = []

    @Flag(help: "Leave out what takes seconds: reading the whole store, and measuring the disk.")
    var quick = false

    @Option(help: ArgumentHelp("The configuration of a stopped relay (default: where relayd looks).", valueName: "path"), completion: .file())
    var config: String?

    @Option(help: ArgumentHelp("relayd's program (default: beside chatctl, else /usr/sbin/relayd).", valueName: "path"), completion: .file())
    var relayd: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let situation = await CheckSituation.find(global, configurationPath: config, program: relayd, isThorough: !quick)
        let report = await HostChecks.run(group.isEmpty ? CheckGroup.allCases : group, situation)
        try global.output.show(report) { $0.check(report) }
        if report.exitStatus != 0 { throw ExitCode(report.exitStatus) }
    }
}

extension CheckGroup: ExpressibleByArgument {}

/// All checks, in the order in which they are shown.
enum HostChecks {
    static let all: [any HostCheck] = [
        RelayCheck(), AlertsCheck(),
        ConfigurationFileCheck(), ConfigurationInForceCheck(), PublicURLCheck(), CertificateCheck(),
        ConfigurationPermissionsCheck(), StoreFilesCheck(), ControlSocketCheck(), OperatorGroupsCheck(),
        DiskSpaceCheck(), FlushCheck(), IntegrityCheck(),
        ClockCheck(), DescriptorsCheck(), PortsCheck(), JournalCheck(), CronCheck(),
    ]

    static func run(_ groups: [CheckGroup], _ situation: CheckSituation) async -> CheckReport {
        var findings: [CheckFinding] = []
        for check in all where groups.contains(check.group) {
            var found = CheckFindings(check.group, check.name)
            await check.run(situation, &found)
            findings += found.all
        }
        return CheckReport(findings)
    }
}
