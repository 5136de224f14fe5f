import Foundation
import RelayControl
import RelayModel
import RelayTLS
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// The pure parts of `chatctl check`.
@Suite struct CheckTests {
    private static let nvme = DataDisk(device: "nvme0n1", kind: .flash, fileSystem: "ext4", hasVolatileCache: true)
    private static let protected = DataDisk(device: "sda", kind: .flash, fileSystem: "xfs", hasVolatileCache: false)
    private static let platters = DataDisk(device: "sdb", kind: .rotating, fileSystem: "ext4", hasVolatileCache: true)
    private static let controller = DataDisk(device: "sdc", kind: .rotating, fileSystem: "ext4", hasVolatileCache: false)
    private static let guest = DataDisk(device: "vda", kind: .virtual, fileSystem: "ext4", hasVolatileCache: true)

    /// Mostly the median, with a slow tail.
    private func times(_ median: Double, tail: Double? = nil) -> [Double] {
        (0..<200).map { index in index < 190 ? median * (0.9 + Double(index % 20) / 100) : tail ?? median * 2 }
    }

    @Test(
        "What flush times say about a disk",
        arguments: [
            (CheckTests.nvme, 0.0004, nil, CheckResult.good, "half of the flushes"),
            (CheckTests.nvme, 0.000_02, nil, .warning, "faster than flash is written"),
            (CheckTests.nvme, 0.000_002, nil, .error, "faster than any real disk"),
            (CheckTests.protected, 0.000_02, nil, .good, "half of the flushes"),
            (CheckTests.platters, 0.009, nil, .good, "rotating disk"), (CheckTests.platters, 0.000_2, nil, .error, "faster than its platters turn"),
            (CheckTests.controller, 0.000_2, nil, .warning, "faster than its platters turn"),
            (CheckTests.guest, 0.000_02, nil, .good, "cannot be seen from here"),
            (CheckTests.guest, 0.000_003, nil, .error, "faster than any real disk"), (CheckTests.nvme, 0.001, 0.4, .warning, "sends wait"),
            (CheckTests.guest, 0.02, 0.09, .good, "virtual"),
        ] as [(DataDisk, Double, Double?, CheckResult, String)])
    func verdict(disk: DataDisk, median: Double, tail: Double?, result: CheckResult, says: String) {
        let verdict = FlushVerdict(times(median, tail: tail), disk)
        #expect(verdict.result == result && verdict.text.contains(says), "\(verdict)")
        #expect((verdict.result == .good) == verdict.advice.isEmpty, "\(verdict)")
    }

    @Test func someDisksAreNone() {
        let memory = DataDisk(device: "", kind: .virtual, fileSystem: "tmpfs", hasVolatileCache: false)
        #expect(FlushVerdict(times(0.01), memory).result == .error)
        var bare = Self.nvme
        bare.hasBarriersOff = true
        #expect(FlushVerdict(times(0.01), bare).result == .error)
        let far = DataDisk(device: "", kind: .virtual, fileSystem: "nfs4", hasVolatileCache: false)
        #expect(FlushVerdict(times(0.001), far).result == .warning)
        #expect(FlushVerdict([], Self.nvme).result == .skipped)
        #expect(FlushVerdict([0.000_001], Self.nvme).result == .error)
    }

    @Test func aDirectoryLiesInTheLongestMount() {
        let info = """
            22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
            30 22 0:26 / /nowhere/data rw,nosuid shared:2 - tmpfs tmpfs rw,size=4k
            31 22 8:1 / /nowhere/database rw - ext4 /dev/sda1 rw,barrier=0
            broken line
            """
        #expect(Mount.of("/nowhere", in: info).source == "/dev/vda")
        #expect(Mount.of("/nowhere/data/x", in: info).fileSystem == "tmpfs")
        #expect(Mount.of("/nowhere/datab", in: info).source == "/dev/vda")
        #expect(Mount.of("/nowhere/database", in: info).options.contains("barrier=0"))
        #expect(Mount.of("/nowhere", in: "").fileSystem == "unknown")
    }

    private func findings(_ body: (inout CheckFindings) -> Void) -> [CheckFinding] {
        var found = CheckFindings(.host, "x")
        body(&found)
        for finding in found.all { #expect([.warning, .error].contains(finding.result) == (finding.advice?.isEmpty == false), "\(finding)") }
        return found.all
    }

    @Test func descriptors() {
        let text = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files     \n"
        #expect(DescriptorsCheck.openFiles(in: text) == 1024)
        #expect(DescriptorsCheck.openFiles(in: "Max open files            unlimited            unlimited            files\n") == .max)
        #expect(DescriptorsCheck.openFiles(in: "") == nil)
        for (limit, devices, result) in [(1024, 3, CheckResult.error), (4096, 3, .good), (4096, 4000, .warning), (524_288, 400_000, .good)] {
            #expect(findings { DescriptorsCheck().judge(limit: limit, devices: devices, &$0) }.map(\.result) == [result])
        }
    }

    @Test(arguments: [(0, false), (4, false), (3600, true)]) func stampsAreAheadOfAClockThatWasSetBack(_ seconds: Double, _ warns: Bool) {
        #expect(findings { IntegrityCheck().judgeStamp(ahead: seconds, &$0) }.map(\.result) == (warns ? [.warning] : []))
    }

    @Test func space() {
        let gigabyte = 1 << 30
        func judge(_ free: Int, files: Int = 1_000_000, freeFiles: Int = 500_000, isReadOnly: Bool = false) -> [CheckResult] {
            let figures = SpaceFigures(bytes: 100 * gigabyte, freeBytes: free, files: files, freeFiles: freeFiles, isReadOnly: isReadOnly)
            return findings { DiskSpaceCheck().judge(figures, storeBytes: gigabyte, alarm: 10, "/x", &$0) }.map(\.result)
        }
        #expect(judge(50 * gigabyte) == [.good])
        #expect(judge(9 * gigabyte) == [.warning])
        #expect(judge(1 << 20) == [.error])
        #expect(judge(50 * gigabyte, freeFiles: 10) == [.error])
        #expect(judge(50 * gigabyte, freeFiles: 5000) == [.warning])
        // btrfs tells no inodes.
        #expect(judge(50 * gigabyte, files: 0, freeFiles: 0) == [.good])
        #expect(judge(50 * gigabyte, isReadOnly: true) == [.error])
    }

    @Test func clock() {
        func judge(_ isKnown: Bool, _ isSynchronised: Bool, _ seconds: Double) -> [CheckResult] {
            findings {
                ClockCheck().judge(KernelClock(isKnown: isKnown, isSynchronised: isSynchronised, maximumErrorSeconds: seconds), &$0)
            }.map(\.result)
        }
        #expect(judge(true, true, 0.01) == [.good])
        #expect(judge(true, true, 2) == [.warning])
        #expect(judge(true, false, 16) == [.warning])
        #expect(judge(false, false, 0) == [.skipped])
    }

    @Test func certificates() throws {
        let directory = try TemporaryDirectory()
        let authority = try TestAuthority(in: directory)
        let now = SystemWallClock().now()
        func situation(_ url: String) -> CheckSituation {
            CheckSituation(
                relay: .unreachable(ControlError(.daemonUnreachable, "relayd is not running")), control: ControlClient(socket: "/nonexistent"),
                socket: "/nonexistent",
                configuration: ConfigShow.Reply(
                    path: nil,
                    options: [
                        ConfigurationRecord(
                            name: "listen.public_url", unit: nil, value: .text(url), standard: .text(""), line: nil, reloadable: false,
                            secret: false, allowed: "", text: "")
                    ]), now: now)
        }
        func judge(_ days: ClosedRange<Int>, url: String = "https://localhost:8443/") throws -> [CheckResult] {
            let pair = try authority.issue(days: days)
            let identity = try TLSIdentity(certificatePath: pair.certificate, keyPath: pair.key)
            return findings {
                CertificateCheck().judge(identity, pair.certificate, at: now, &$0)
                CertificateCheck().judgeName(identity, situation(url), &$0)
            }.map(\.result)
        }
        #expect(try judge(-1...90) == [])
        #expect(try judge(-1...90, url: "https://[::1]:8443") == [])
        #expect(try judge(-1...90, url: "https://relay.example") == [.error])
        #expect(try judge(-1...13) == [.warning])
        #expect(try judge(-9 ... -1) == [.error])
        #expect(try judge(2...90) == [.error])

        // This host does not trust the test's authority; who trusts it finds nothing.
        let pair = try authority.issue()
        let identity = try TLSIdentity(certificatePath: pair.certificate, keyPath: pair.key)
        #expect(try identity.problem() == .untrusted)
        #expect(try identity.problem(trusting: [authority.file]) == nil)
        #expect(findings { CertificateCheck().judgeTrust(.untrusted, pair.certificate, &$0) }.map(\.result) == [.warning])
        #expect(findings { CertificateCheck().judgeTrust(nil, pair.certificate, &$0) }.isEmpty)
        let expired = try authority.issue(days: -9 ... -1)
        #expect(try TLSIdentity(certificatePath: expired.certificate, keyPath: expired.key).problem(trusting: [authority.file]) == .expired)
    }

    private func situation(root: String, purgeHours: Int) -> CheckSituation {
        let option = ConfigurationRecord(
            name: "retention.purge_hours", unit: "hours", value: .number(purgeHours), standard: .number(6), line: nil, reloadable: false,
            secret: false, allowed: "", text: "")
        return CheckSituation(
            relay: .unreachable(ControlError(.daemonUnreachable, "relayd is not running")), control: ControlClient(socket: "/nonexistent"),
            socket: "/nonexistent", configuration: ConfigShow.Reply(path: nil, options: [option]), root: root, now: Timestamp(milliseconds: 0))
    }

    @Test func cronAndJournal() async throws {
        let host = try TemporaryDirectory()
        func make(_ path: String) throws { try FileManager.default.createDirectory(atPath: host.path + path, withIntermediateDirectories: true) }
        func run(_ check: some HostCheck, purgeHours: Int = 6) async -> [CheckResult] {
            var found = CheckFindings(check.group, check.name)
            await check.run(situation(root: host.path, purgeHours: purgeHours), &found)
            return found.all.map(\.result)
        }
        #expect(await run(CronCheck()) == [.good])
        #expect(await run(CronCheck(), purgeHours: 0) == [.warning])
        #expect(await run(JournalCheck()) == [.skipped])
        try make("/etc/cron.d/chatctl")
        #expect(await run(CronCheck(), purgeHours: 0) == [.warning])
        try make("/run/crond.pid")
        #expect(await run(CronCheck(), purgeHours: 0) == [.good])
        try make("/run/systemd/system")
        #expect(await run(JournalCheck()) == [.warning])
        try make("/run/systemd/journal/socket")
        #expect(await run(JournalCheck()) == [.warning])
        try make("/var/log/journal")
        #expect(await run(JournalCheck()) == [.good])
    }

    /// systemd makes the socket of relayd-control.socket as root.
    @Test(
        .enabled(if: geteuid() == 0, "only root may give files away"),
        arguments: [(0, .good), (65_534, .good), (65_533, .error)] as [(uid_t, CheckResult)])
    func theControlSocketIsRelaydsOrRoots(_ owner: uid_t, _ result: CheckResult) async throws {
        let host = try TemporaryDirectory()
        let (store, path) = (host.file("relay.db"), host.file("control.sock"))
        try Data().write(to: URL(fileURLWithPath: store))
        chown(store, 65_534, 65_534)
        let socket = try ListeningSocket(path: path)
        defer { withExtendedLifetime(socket) {} }
        chmod(path, 0o666)
        chown(path, owner, owner)
        let option = ConfigurationRecord(
            name: "store.path", unit: nil, value: .text(store), standard: .text(""), line: nil, reloadable: false, secret: false, allowed: "",
            text: "")
        let situation = CheckSituation(
            relay: .unreachable(ControlError(.notPermitted, "")), control: ControlClient(socket: path), socket: path,
            configuration: ConfigShow.Reply(path: nil, options: [option]), now: Timestamp(milliseconds: 0))
        var found = CheckFindings(.files, "control socket")
        await ControlSocketCheck().run(situation, &found)
        #expect(found.all.map(\.result) == [result], "\(found.all)")
        let facts = PrivacyFacts.Reply(processID: 0, storePath: store, configurationPath: nil, addresses: [], tables: [], triggers: [])
        var findings = PrivacyReport.Findings(check: "control socket", room: 10)
        _ = try FileChecks(facts: facts, socket: path, owner: 65_534).controlSocket(&findings)
        #expect(findings.kept.isEmpty == (result == .good), "\(findings.kept)")
    }

    @Test func addressesAreTaken() throws {
        for text in ["127.0.0.1:8480", "[::1]:8480", "localhost:1", "http://127.0.0.1:8480", "https://[::1]:443/x"] {
            #expect(SocketAddressText(text) != nil, "\(text)")
        }
        for text in ["", "127.0.0.1", "example.org:80", "127.0.0.1:x", ":80"] { #expect(SocketAddressText(text) == nil, "\(text)") }
        // 192.0.2.1 is nobody's (RFC 5737).
        #expect(try #require(SocketAddressText("192.0.2.1:80")).binds() == EADDRNOTAVAIL)
    }

    @Test func theExitStatusIsTheWorst() {
        func status(_ results: [CheckResult]) -> Int32 {
            CheckReport(results.map { CheckFinding(group: .host, check: "x", result: $0, text: "", advice: nil) }).exitStatus
        }
        #expect(status([]) == 0 && status([.good, .skipped]) == 0 && status([.good, .warning]) == 1 && status([.warning, .error, .good]) == 2)
    }
}
