import RelayControl
import RelayModel
import Testing

@testable import ChatctlCommands
@testable import RelayBackup

/// What the backup commands print, byte for byte; see ``Golden``.
@Suite struct BackupGoldenTests {
    private static let earlier = Timestamp(milliseconds: Golden.now.milliseconds - 7_200_000)
    private static let small = BackupManifest(
        relayVersion: "0.1.0", schema: 14, at: earlier, reason: .operation, databaseBytes: 135_168, hash: "00ff", stamp: "77",
        rows: ["users": 1, "devices": 1, "chats": 1, "messages": 1])
    private static let large = BackupManifest(
        relayVersion: "0.1.0", schema: 14, at: earlier, reason: .upgrade, databaseBytes: 1_610_612_736, hash: "00ff", stamp: "77",
        rows: ["users": 2, "devices": 1234, "chats": 0, "messages": 1_000_000])

    private static func record(_ manifest: BackupManifest, _ name: String) -> BackupRecord {
        BackupRecord(
            name: name, bytes: manifest.databaseBytes + 4096, at: manifest.at, relayVersion: manifest.relayVersion, schema: manifest.schema,
            reason: manifest.reason.rawValue)
    }

    @Test func made() throws {
        for (name, manifest) in [("backup-created-small", Self.small), ("backup-created", Self.large)] {
            let file = "relay-20261121T073000Z.backup"
            let done = BackupStatus.Finished(
                backup: Self.record(manifest, file), path: "/var/lib/relayd/backups/\(file)", rows: manifest.rows, findings: [], milliseconds: 1234)
            try Golden.check(name, done) { $0.backup(done) }
        }
    }

    @Test func list() throws {
        let broken = BackupRecord(name: "relay-x.backup", bytes: 9, problem: "it is no backup of a relay")
        let reply = BackupList.Reply(
            folder: "/var/lib/relayd/backups",
            backups: [Self.record(Self.small, "relay-20261121T073000Z.backup"), Self.record(Self.large, "upgrade-20261121T073000Z.backup"), broken])
        try Golden.check("backup-list", reply) { $0.backups(reply.backups) }
    }

    @Test func plan() throws {
        var plan = RestorePlan(
            backup: Self.large, store: "/var/lib/relayd/relay.db", needed: 1_677_721_600, free: 85_899_345_920, plan: "0123-4567-89ab-cdef")
        try Golden.check("restore-plan-empty", plan) { $0.restore(plan) }
        plan.storeBytes = 1_610_000_000
        plan.storeProblem = "file is not a database"
        plan.free = 1_000_000
        try Golden.check("restore-plan-unreadable", plan) { $0.restore(plan) }
        plan.backup = Self.small
        plan.storeProblem = nil
        plan.storeSchema = 15
        plan.losses = RestoreLosses(
            messages: 1234, users: 1, devices: 0, revivedUsers: ["382364223419711488"], revivedUserCount: 1, revivedDevices: [],
            revivedDeviceCount: 0)
        try Golden.check("restore-plan", plan) { $0.restore(plan) }
    }

    @Test func restored() throws {
        var report = RestoreReport(store: "/var/lib/relayd/relay.db", backup: Self.small, before: nil)
        try Golden.check("restored-first", report) { $0.restored(report) }
        report.before = "/var/lib/relayd/relay.db.before-20261121T093000Z"
        try Golden.check("restored", report) { $0.restored(report) }
    }

    @Test func whatIsToBeTypedCanBe() {
        let command = ShellWord.line(["chatctl", "a/b_c-1.backup", "two words", "it's", "", "$HOME", "ü"])
        #expect(command == #"chatctl a/b_c-1.backup 'two words' 'it'\''s' '' '$HOME' 'ü'"#)
    }
}
