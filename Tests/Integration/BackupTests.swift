import Foundation
import RelayBackup
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayClient

/// Backups with the real programs: made under load, carried to another machine's folder, put in place of a store, and refused where they must be.
@Suite("Backups") struct BackupTests {
    private func create(_ relay: RelayProcess, _ arguments: String...) async throws -> BackupStatus.Finished {
        try await relay.chatctl.json(["backup", "create"] + arguments)
    }

    private func restore(_ relay: RelayProcess, _ backup: String, to store: String) async throws -> RestoreReport {
        let arguments = [backup, "--store", store]
        let plan: RestorePlan = try await relay.chatctl.json(["backup", "restore", "plan"] + arguments)
        return try await relay.chatctl.json(["backup", "restore", "apply"] + arguments + ["--plan", plan.plan])
    }

    private func device(_ name: String, _ relay: RelayProcess, _ scratch: TemporaryDirectory) async throws -> TestDevice {
        let link = try await relay.chatctl.addUser(name).invite.link
        return try await TestDevice(name: "\(name).phone", link: link, directory: StateDirectory(scratch.file(name)))
    }

    /// Root restores in a folder of somebody who put a link in its way.
    @Test(.timeLimit(.minutes(10)), .enabled(if: geteuid() == 0, "only root may act as somebody else")) func aLinkLeadsRootNowhere() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let scratch = try TemporaryDirectory()
        let (file, precious, theirs) = (scratch.file("carried.backup"), scratch.file("precious"), scratch.file("theirs"))
        _ = try await create(relay, "--to", file)
        await relay.terminate()
        let nobody: uid_t = 65_534
        try "root's".write(toFile: precious, atomically: false, encoding: .utf8)
        chmod(precious, 0o600)
        chmod(scratch.path, 0o755)
        #expect(mkdir(theirs, 0o700) == 0 && symlink(precious, "\(theirs)/relay.db.lock") == 0 && chown(theirs, nobody, nobody) == 0)
        let store = "\(theirs)/relay.db"
        await #expect(throws: (any Error).self) { try await restore(relay, file, to: store) }
        func owner(_ path: String) -> uid_t? {
            var status = stat()
            return lstat(path, &status) == 0 ? status.st_uid : nil
        }
        #expect(owner(precious) == 0 && owner(store) == nil)
        // Without it the store is theirs.
        unlink("\(theirs)/relay.db.lock")
        _ = try await restore(relay, file, to: store)
        #expect(owner(store) == nobody && owner("\(theirs)/relay.db.lock") == nobody)
    }

    /// What was acknowledged before the backup is there; what came after it is gone from the relay, stays with those who have it, and takes nobody's place.
    @Test(.timeLimit(.minutes(10))) func underLoadAndRestoredOnAnotherMachine() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let scratch = try TemporaryDirectory()
        let alice = try await device("alice", relay, scratch)
        let bob = try await device("bob", relay, scratch)
        let carol = try await device("carol", relay, scratch)
        for one in [alice, bob, carol] { try await one.goOnline() }
        for number in 1...50 { try await alice.session.send("early \(number)", to: "bob") }
        for number in 1...20 { try await alice.session.send("for carol \(number)", to: "carol") }
        try await alice.session.waitUntilSent(timeout: .seconds(300))
        try await bob.wait(for: "the early ones") { $0.received.count == 50 }
        try await carol.close()
        for number in 21...40 { try await alice.session.send("for carol \(number)", to: "carol") }
        try await alice.session.waitUntilSent(timeout: .seconds(300))

        // Sends go on while the copy is made.
        async let sending: Void = {
            for number in 1...300 { try await alice.session.send("during \(number)", to: "bob") }
            try await alice.session.waitUntilSent(timeout: .seconds(300))
        }()
        let file = scratch.file("carried.backup")
        let backup = try await create(relay, "--to", file)
        try await sending
        #expect(backup.findings.isEmpty && backup.rows["users"] == 3 && backup.rows["messages"] ?? 0 >= 90)
        let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(!backup.backup.name.contains("alice"))
        for number in 1...5 { try await alice.session.send("late \(number)", to: "bob") }
        for number in 1...3 { try await bob.session.send("late answer \(number)", to: "alice") }
        for one in [alice, bob] { try await one.session.waitUntilSent(timeout: .seconds(300)) }
        try await bob.wait(for: "everything") { $0.received.count == 355 }
        try await alice.wait(for: "the answers") { $0.received.count == 3 }
        for one in [alice, bob] { try await one.close() }
        #expect(await relay.terminate() == .exited(0))

        // Another machine: nothing but the file.
        let second = try RelayProcess(port: relay.port)
        let report = try await restore(relay, file, to: second.storePath)
        #expect(report.before == nil && report.backup.rows == backup.rows)
        try await second.start()
        let entries = try await second.chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries
        #expect(entries.first?.operation == "relayd/restore" && entries.contains { $0.operation == "backup/create" })
        #expect(try await second.chatctl.run("audit", "verify").succeeded)

        // Who was away gets all of it once; who had it gets nothing again.
        try carol.reopen()
        try await carol.goOnline()
        try await carol.wait(for: "what waited") { $0.received.count == 40 }
        for one in [alice, bob] { try one.reopen() }
        for one in [alice, bob] { try await one.goOnline() }
        #expect(bob.log.received.count == 355 && alice.log.received.count == 3)

        // Places that the relay had given already are given again, and nothing is hidden by that.
        for number in 1...30 { try await alice.session.send("new \(number)", to: "bob") }
        for number in 1...10 { try await bob.session.send("new answer \(number)", to: "alice") }
        for one in [alice, bob] { try await one.session.waitUntilSent(timeout: .seconds(300)) }
        try await bob.wait(for: "the new ones") { $0.received.count == 385 }
        try await alice.wait(for: "the new answers") { $0.received.count == 13 }
        #expect(Set(bob.log.received.map(\.message)).count == 385)
        #expect(bob.log.received.suffix(30).compactMap(\.text) == (1...30).map { "new \($0)" })
        #expect(carol.violations() == [])
        // Everything that anybody ever saw is still in their history, in order.
        for (device, mine, theirs) in [(alice, 355 + 30, 13), (bob, 3 + 10, 385)] {
            let history = try await device.session.read { state throws(ClientError) in try state.history() }.filter { $0.with != "carol" }
            #expect(history.count == mine + theirs, "\(device.name)")
            #expect(history.map(\.message) == history.map(\.message).sorted())
        }
        for one in [alice, bob, carol] { try await one.close() }
        #expect(await second.terminate() == .exited(0))
    }

    /// The sender never heard that a message had been taken, the recipient has it, and the relay has forgotten it: it is shown once.
    @Test(.timeLimit(.minutes(10))) func whatIsRepeatedAfterARestoreIsShownOnce() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let scratch = try TemporaryDirectory()
        let alice = try await device("alice", relay, scratch)
        let bob = try await device("bob", relay, scratch)
        for one in [alice, bob] { try await one.goOnline() }
        try await alice.session.send("first", to: "bob")
        try await alice.session.waitUntilSent(timeout: .seconds(300))
        let backup = try await create(relay)
        try await alice.close()
        // As it was when the answer had not come: the state before the send, with the message in the outbox.
        try alice.reopen()
        let waiting = try await alice.session.send("second", to: "bob")
        try await alice.session.close()
        let state = scratch.file("alice")
        let copy = scratch.file("alice.before")
        try FileManager.default.copyItem(atPath: state, toPath: copy)
        try alice.reopen()
        try await alice.goOnline()
        try await alice.session.wait(for: [waiting], .sent, timeout: .seconds(300))
        try await bob.wait(for: "both") { $0.received.count == 2 }
        for one in [alice, bob] { try await one.close() }
        #expect(await relay.terminate() == .exited(0))
        try FileManager.default.removeItem(atPath: state)
        try FileManager.default.moveItem(atPath: copy, toPath: state)
        _ = try await restore(relay, backup.path, to: relay.storePath)
        try await relay.start()
        for one in [alice, bob] { try one.reopen() }
        for one in [bob, alice] { try await one.goOnline() }
        try await alice.session.wait(for: [waiting], .sent, timeout: .seconds(300))
        try await alice.session.send("third", to: "bob")
        try await bob.wait(for: "the third one") { $0.received.last?.text == "third" }
        #expect(bob.log.received.compactMap(\.text) == ["first", "second", "third"])
        let history = try await bob.session.read { state throws(ClientError) in try state.history().compactMap(\.text) }
        #expect(history == ["first", "second", "third"])
        for one in [alice, bob] { try await one.close() }
        #expect(await relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func aRestoreIsPlannedAndKeepsTheOldStore() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        for name in ["alice", "bob"] { _ = try await relay.chatctl.addUser(name) }
        let backup = try await create(relay)
        _ = try await relay.chatctl.addUser("carol")
        #expect(try await relay.chatctl.run("user", "remove", "bob", "--yes").succeeded)
        let options = [backup.backup.name, "--store", relay.storePath]
        let plan: RestorePlan = try await relay.chatctl.json(["backup", "restore", "plan"] + options)
        #expect(plan.losses?.users == 1 && plan.losses?.revivedUserCount == 1 && plan.losses?.revivedUsers.count == 1)

        // Over a store in use: no.
        let live = try await relay.chatctl.run(["backup", "restore", "apply"] + options + ["--plan", plan.plan])
        #expect(live.status == .exited(75) && live.standardError.contains("systemctl stop relayd"), "\(live.standardError)")
        #expect(await relay.terminate() == .exited(0))
        // What was planned was another store.
        let outdated = try await relay.chatctl.run(["backup", "restore", "apply"] + options + ["--plan", plan.plan])
        #expect(outdated.status == .exited(1) && outdated.standardError.contains("plan"), "\(outdated.standardError)")

        let report = try await restore(relay, backup.backup.name, to: relay.storePath)
        let before = try #require(report.before)
        let old = try Database(path: before, access: .immutable)
        #expect(try old.integer("SELECT count(*) FROM users WHERE name = 'carol'") == 1)
        try await relay.start()
        let users = try await relay.chatctl.json(["user", "list"], as: UserList.Reply.self).users.map(\.name)
        #expect(users == ["alice", "bob"])
        let entries = try await relay.chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries
        #expect(
            entries.first?.operation == "relayd/restore" && entries.first?.uid == getuid()
                && entries.first?.reason?.contains("the store as of") == true)
        #expect(await relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func backupsAreListedCheckedAndLetGo() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        _ = try await relay.chatctl.addUser("alice")
        #expect(try await relay.chatctl.run("backup", "list").standardError.contains("There is no backup"))
        var names: [String] = []
        for _ in 0..<3 { names.append(try await create(relay).backup.name) }
        let folder = relay.directory.file("backups")
        let listed = try await relay.chatctl.json(["backup", "list"], as: BackupList.Reply.self)
        #expect(Set(listed.backups.map(\.name)) == Set(names) && listed.folder == folder)
        let mode = try FileManager.default.attributesOfItem(atPath: folder)[.posixPermissions] as? Int
        #expect(mode == 0o700)
        for target in [names[0], "\(folder)/\(names[0])"] {
            let good = try await relay.chatctl.run("backup", "verify", target)
            #expect(good.succeeded && good.standardOutput.contains("1 user, 0 devices, 0 chats, 0 messages\n"), "\(good.standardError)")
        }

        // A flipped byte, a missing end, something else, nothing.
        let path = "\(folder)/\(names[1])"
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        data[data.count / 2] ^= 1
        try data.write(to: URL(fileURLWithPath: path))
        for target in [names[1], path] {
            let bad = try await relay.chatctl.run("backup", "verify", target)
            #expect(bad.status == .exited(1) && bad.standardError.contains("hash is not the one"), "\(bad.standardError)")
        }
        let refused = try await relay.chatctl.run("backup", "restore", "plan", names[1], "--store", relay.storePath)
        #expect(refused.succeeded)
        let short = relay.directory.file("short.backup")
        try data.prefix(data.count - 100).write(to: URL(fileURLWithPath: short))
        #expect(try await relay.chatctl.run("backup", "verify", short).standardError.contains("its end is missing"))
        try Data("hello".utf8).write(to: URL(fileURLWithPath: short))
        #expect(try await relay.chatctl.run("backup", "verify", short).standardError.contains("is no backup of a relay"))
        #expect(try await relay.chatctl.run("backup", "verify", "relay-1.backup").standardError.contains("No such file"))
        #expect(try await relay.chatctl.run("backup", "verify", "..").status == .exited(64))
        #expect(try await relay.chatctl.run("backup", "create", "--to", short).standardError.contains("File exists"))

        #expect(try await relay.chatctl.run("backup", "prune", "--yes").status == .exited(64))
        #expect(try await relay.chatctl.run("backup", "prune", "--keep", "0", "--yes").status == .exited(64))
        #expect(try await relay.chatctl.run("backup", "prune", "--keep", "1", "--dry-run").standardOutput.contains("would be deleted"))
        #expect(try await relay.chatctl.run("backup", "prune", "--keep", "1", "--yes").succeeded)
        #expect(try await relay.chatctl.json(["backup", "list"], as: BackupList.Reply.self).backups.count == 1)
        let operations = try await relay.chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries
        #expect(operations.contains { $0.operation == "backup/prune" && $0.result == "done" })
        #expect(operations.contains { $0.operation == "backup/prune" && $0.result == "bad_request" })
        let last = try await relay.chatctl.json(["backup", "list"], as: BackupList.Reply.self)
        #expect(await relay.terminate() == .exited(0))

        // Whoever looks for a way back while relayd does not run sees the same.
        let options = ["--config", relay.configurationPath, "--relayd", Programs.relayd]
        let stopped = try await relay.chatctl.json(["backup", "list"] + options, as: BackupList.Reply.self)
        #expect(stopped.folder == last.folder && stopped.backups == last.backups)
        #expect(try await relay.chatctl.run(["backup", "list"] + options).standardError.contains("relayd is not running"))
        // The configuration that relayd would find by itself has another socket than this one.
        #expect(try await relay.chatctl.run("backup", "list").status == .exited(69))
        try FileManager.default.removeItem(atPath: folder)
        let gone = try await relay.chatctl.run(["backup", "list"] + options)
        #expect(gone.status == .exited(69) && gone.standardError.contains("\(folder) cannot be read: No such file"), "\(gone)")
    }

    /// A disk that takes no more in the middle: no half file, a plain message, and relayd goes on.
    @Test(.timeLimit(.minutes(10))) func aFullDiskLeavesNoHalfBackup() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        for number in 1...20 { _ = try await relay.chatctl.addUser("user\(number)") }
        #expect(await relay.terminate() == .exited(0))
        try await relay.start()
        // The store fits, and its copy with the page behind it does not.
        try await relay.limitFileSize(to: Database.fileBytes(relay.storePath) + 1000)
        let failed = try await relay.chatctl.run("backup", "create")
        #expect(failed.status == .exited(1) && failed.standardError.contains("the backup failed"), "\(failed.standardError)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: relay.directory.file("backups")) == [])
        #expect(try await relay.chatctl.run("user", "list").succeeded)
        #expect(await relay.terminate() == .exited(0))
    }
}
