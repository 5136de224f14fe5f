import Foundation
import RelayBackup
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayStorage

/// A store of an earlier version: rehearsed, upgraded, or left as it was.
@Suite("Upgrades") struct StoreUpgradeTests {
    private static let older = 4

    /// A store as an earlier version left it, with a user.
    private func olderStore(_ path: String, and sql: String = "") throws {
        let database = try Database(path: path, access: .readWriteCreate)
        for migration in Schema.migrations[..<Self.older] { try migration.run(on: database) }
        try database.execute(
            """
            PRAGMA user_version = \(Self.older);
            INSERT INTO users (user_id, name) VALUES (4096, 'alice');
            INSERT INTO audit VALUES (4096, 0, 'user/add', 'alice', NULL);
            \(sql)
            """)
    }

    /// Everything in a file but its version counters.
    private func contents(_ path: String) throws -> [String] {
        let database = try Database(path: path, access: .readOnly)
        let read = try database.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        var found: [String] = []
        while try read.step() { found.append(read.text(0) ?? "") }
        return found + ["\(try database.integer("PRAGMA user_version") ?? -1)", "\(try database.integer("SELECT count(*) FROM users") ?? -1)"]
    }

    private func rehearse(_ relay: RelayProcess) async throws -> (status: RelayTestSupport.ExitStatus, output: String, errors: String) {
        let result = try await Subprocess.run(Programs.relayd, ["--config", relay.configurationPath, "--rehearse-upgrade"])
        return (result.status, result.standardOutput, result.standardError)
    }

    @Test(.timeLimit(.minutes(10))) func aSnapshotARehearsalAndTheUpgrade() async throws {
        let relay = try RelayProcess()
        try olderStore(relay.storePath)
        let before = try contents(relay.storePath)
        let rehearsed = try await rehearse(relay)
        #expect(rehearsed.status == .exited(0) && rehearsed.output.contains("\(Self.older) to \(Schema.migrations.count)"), "\(rehearsed)")
        #expect(try contents(relay.storePath) == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: relay.directory.file("backups")) == [])

        try await relay.start()
        #expect(relay.standardError.contains("the store was upgraded"))
        #expect(try await relay.chatctl.json(["user", "list"], as: UserList.Reply.self).users.map(\.name) == ["alice"])
        #expect(try await relay.chatctl.run("audit", "verify").succeeded)
        let backups = try await relay.chatctl.json(["backup", "list"], as: BackupList.Reply.self).backups
        #expect(backups.map(\.reason) == ["upgrade"] && backups.first?.schema == Self.older)
        let verified = try await relay.chatctl.run("backup", "verify", backups.first?.name ?? "")
        #expect(verified.succeeded, "\(verified.standardError)")
        #expect(await relay.terminate() == .exited(0))
        // The second start has nothing to do.
        try await relay.start()
        #expect(try await relay.chatctl.json(["backup", "list"], as: BackupList.Reply.self).backups.count == 1)
        #expect(await relay.terminate() == .exited(0))
        #expect(try await rehearse(relay).output == "There is nothing to upgrade.\n")
        // The way back.
        let name = try #require(backups.first?.name)
        let plan: RestorePlan = try await relay.chatctl.json(["backup", "restore", "plan", name, "--store", relay.storePath])
        #expect(try await relay.chatctl.run("backup", "restore", "apply", name, "--store", relay.storePath, "--plan", plan.plan).succeeded)
        #expect(try Database(path: relay.storePath, access: .readOnly).integer("PRAGMA user_version") == Int64(Self.older))
    }

    /// What root tries, relayd can use and delete.
    @Test(.timeLimit(.minutes(10)), .enabled(if: geteuid() == 0, "only root may act as somebody else")) func rootRehearsesAsTheOwner() async throws {
        let relay = try RelayProcess()
        try olderStore(relay.storePath)
        for path in [relay.directory.path, relay.storePath, relay.storePath + "-wal", relay.storePath + "-shm"] { chown(path, 65_534, 65_534) }
        let rehearsed = try await rehearse(relay)
        #expect(rehearsed.status == .exited(0), "\(rehearsed)")
        let backups = try FileManager.default.attributesOfItem(atPath: relay.directory.file("backups"))
        #expect((backups[.ownerAccountID] as? NSNumber)?.intValue == 65_534)
    }

    /// Something in the old store that a later step cannot take.
    @Test(.timeLimit(.minutes(10))) func aFailingMigrationLeavesTheStore() async throws {
        let relay = try RelayProcess()
        try olderStore(relay.storePath, and: "CREATE TABLE purges (anything TEXT);")
        let before = try contents(relay.storePath)
        await #expect(throws: SupportFailure.self) { try await relay.start() }
        let rehearsed = try await rehearse(relay)
        #expect(rehearsed.status == .exited(78), "\(rehearsed)")
        #expect(rehearsed.errors.contains("failed in its rehearsal") && rehearsed.errors.contains("the store is as it was"))
        #expect(try contents(relay.storePath) == before)
        let started = try await Subprocess.run(Programs.relayd, ["--config", relay.configurationPath])
        #expect(started.status == .exited(78) && started.standardError.contains("the store is as it was"), "\(started.standardError)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: relay.directory.file("backups")) == [])
        #expect(try contents(relay.storePath) == before)
    }

    @Test(.timeLimit(.minutes(10))) func aNewerStoreIsRefused() async throws {
        let relay = try RelayProcess()
        try olderStore(relay.storePath)
        try Database(path: relay.storePath, access: .readWriteCreate).execute("PRAGMA user_version = 999")
        let started = try await Subprocess.run(Programs.relayd, ["--config", relay.configurationPath])
        #expect(started.status == .exited(78), "\(started.standardError)")
        #expect(
            started.standardError.contains("written by a newer relayd") && started.standardError.contains("chatctl backup list"),
            "\(started.standardError)")
    }
}
