import Foundation
import RelayBackup
import RelayControl
import RelaySQLite
import RelayTestSupport
import Testing

/// `chatctl backup restore` as an operator types it: what it finds by itself, what it says to type next, and what is left when it fails in the middle.
@Suite("Restore") struct RestoreTests {
    private func hints(_ result: Chatctl.Result) -> [String] {
        result.standardError.split(separator: "\n").filter { $0.hasPrefix("chatctl: hint: ") }.map { String($0.dropFirst("chatctl: hint: ".count)) }
    }

    /// Types a line into a shell.
    private func type(_ line: String, _ relay: RelayProcess) async throws -> Chatctl.Result {
        var environment = relay.chatctl.environment
        environment["PATH"] = Programs.directory + ":" + (environment["PATH"] ?? "/usr/bin:/bin")
        let (status, output, errors) = try await Subprocess.run("sh", ["-c", line], environment: environment)
        return Chatctl.Result(status: status, standardOutput: output, standardError: errors)
    }

    private func users(_ store: String) throws -> [String] {
        let database = try Database(path: store, access: .readOnly)
        let read = try database.prepare("SELECT name FROM users WHERE removed = 0 ORDER BY name")
        var names: [String] = []
        while try read.step() { names.append(read.text(0) ?? "") }
        return names
    }

    @Test(.timeLimit(.minutes(10))) func storeAndFolderComeFromTheConfiguration() async throws {
        let directory = try TemporaryDirectory()
        let folder = directory.file("two words")
        let relay = try RelayProcess(directory: directory, sections: "[backup]\ndirectory = \"\(folder)\"\n")
        try await relay.start()
        _ = try await relay.chatctl.addUser("alice")
        let made = try await relay.chatctl.json(["backup", "create"], as: BackupStatus.Finished.self)
        #expect(made.path == "\(folder)/\(made.backup.name)")
        _ = try await relay.chatctl.addUser("bob")
        let options = ["--config", relay.configurationPath, "--relayd", Programs.relayd]
        // The end of relayd changes the store: while it runs, what is said is to stop it and to plan again.
        let early = try await relay.chatctl.run(["backup", "restore", "plan", made.backup.name] + options)
        let refused = try await relay.chatctl.run(
            ["backup", "restore", "apply", made.backup.name] + options + ["--plan", "0123-4567-89ab-cdef"])
        #expect(early.succeeded && refused.status == .exited(75), "\(early) \(refused)")
        for told in [hints(early), hints(refused)] {
            try #require(told.count >= 2 && told[0] == "systemctl stop relayd.socket relayd" && told[1].contains(" restore plan "), "\(told)")
        }
        #expect(await relay.terminate() == .exited(0))
        let again = try await type(hints(early)[1], relay)
        #expect(again.succeeded && hints(again).last?.contains(" restore apply ") == true, "\(again)")

        for typed in [options, ["--store", relay.storePath, "--directory", folder]] {
            let plan = try await relay.chatctl.run(["backup", "restore", "plan", made.backup.name] + typed)
            #expect(plan.succeeded && plan.standardOutput.contains("1 user, 0 devices, 0 messages\n"), "\(plan)")
            #expect(plan.standardOutput.contains(relay.storePath), "\(plan)")
            // What it says to type works as it stands there.
            let told = hints(plan)
            try #require(told.count == 2 && told[0] == "systemctl stop relayd.socket relayd", "\(plan)")
            let applied = try await type(told[1], relay)
            #expect(applied.succeeded, "\(told[1]): \(applied)")
            #expect(try users(relay.storePath) == ["alice"])
            let after = hints(applied)
            try #require(after.count == 3 && after[0] == "systemctl start relayd" && after[2].hasPrefix("rm "), "\(applied)")
            #expect(try await type(after[2], relay).succeeded)
            let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
            #expect(!left.contains { $0.contains("before") || $0.contains("restoring") }, "\(left)")
        }

        // A plan that is not of this store: the error says what to type.
        let outdated = try await relay.chatctl.run(
            ["backup", "restore", "apply", made.backup.name] + options + ["--plan", "0123-4567-89ab-cdef"])
        #expect(outdated.status == .exited(1), "\(outdated)")
        #expect(try await type(try #require(hints(outdated).first), relay).succeeded, "\(outdated)")

        // Nothing is guessed.
        let nowhere = try await relay.chatctl.run(
            "backup", "restore", "plan", made.backup.name, "--config", directory.file("none.toml"), "--relayd", Programs.relayd)
        #expect(nowhere.status == .exited(78) && nowhere.standardError.contains("--store") && nowhere.standardOutput.isEmpty, "\(nowhere)")
        let programless = try await relay.chatctl.run("backup", "restore", "plan", made.backup.name, "--relayd", directory.file("relayd"))
        #expect(programless.status == .exited(78) && programless.standardError.contains("cannot be started"), "\(programless)")
        for wrong in [["--store", relay.storePath, "--config", relay.configurationPath], ["--store", ""]] {
            #expect(try await relay.chatctl.run(["backup", "restore", "plan", made.backup.name] + wrong).status == .exited(64))
        }
        let unmade = try await relay.chatctl.run(
            "backup", "restore", "apply", made.path, "--store", directory.file("none/relay.db"), "--plan", "0123-4567-89ab-cdef")
        #expect(unmade.status == .exited(1) && hints(unmade).first?.contains("install -d -o relayd") == true, "\(unmade)")
    }

    /// The disk fails at each step that puts the backup in the store's place, or the program dies there: nothing of the store is lost.
    @Test(.timeLimit(.minutes(10))) func whatFailsInTheMiddleLosesNothing() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        _ = try await relay.chatctl.addUser("alice")
        let made = try await relay.chatctl.json(["backup", "create"], as: BackupStatus.Finished.self)
        // Somebody who reads keeps what comes from now on in the log.
        func reader() throws -> Database {
            let reader = try Database(path: relay.storePath, access: .readOnly)
            try reader.execute("BEGIN")
            _ = try reader.integer("SELECT count(*) FROM users")
            return reader
        }
        var early: Database? = try reader()
        _ = try await relay.chatctl.addUser("bob")
        try await relay.kill()
        let log = relay.storePath + "-wal"
        #expect(Database.logBytes(relay.storePath) > 0)

        let faults = try Preload.Faults(relay.directory)
        func apply(_ action: Preload.Faults.Action, _ operation: Preload.Faults.Operation, on file: Preload.Faults.File, passing: Int)
            async throws -> Chatctl.Result
        {
            let arguments = [made.path, "--store", relay.storePath]
            let plan: RestorePlan = try await relay.chatctl.json(["backup", "restore", "plan"] + arguments)
            faults.arm(action, operation, on: file, passing: passing)
            let environment = relay.chatctl.environment.merging(faults.environment) { $1 }
            let (status, output, errors) = try await Subprocess.run(
                Programs.chatctl, ["backup", "restore", "apply"] + arguments + ["--plan", plan.plan], environment: environment)
            #expect(faults.struck > 0)
            faults.disarm()
            return Chatctl.Result(status: status, standardOutput: output, standardError: errors)
        }
        func files(_ part: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: relay.directory.path).filter { $0.contains(part) }.map { relay.directory.file($0) }
                .sorted()
        }

        // The log cannot be put aside.
        var failed = try await apply(.failOnce, .rename, on: .any, passing: 0)
        #expect(failed.status == .exited(1) && failed.standardError.contains("cannot be put aside: Input/output error"), "\(failed)")
        #expect(hints(failed) == ["the store is as it was"])
        #expect(try users(relay.storePath) == ["alice", "bob"] && files(".before-") == [] && files(".restoring") == [])

        // It dies where the log is aside and the store is not: both are there under the other name.
        let died = try await apply(.kill, .rename, on: .any, passing: 1)
        #expect(died.status == .signalled(SIGKILL))
        let kept = try files(".before-")
        try #require(kept.count == 2 && kept[1] == kept[0] + "-wal", "\(kept)")
        #expect(try users(kept[0]) == ["alice", "bob"])
        #expect(early != nil)
        early = nil
        try FileManager.default.moveItem(atPath: kept[1], toPath: log)
        for file in try files(".before-") { try FileManager.default.removeItem(atPath: file) }

        // The store cannot be replaced.
        var late: Database? = try reader()
        failed = try await apply(.failOnce, .rename, on: .any, passing: 1)
        #expect(failed.status == .exited(1) && failed.standardError.contains("cannot be replaced: Input/output error"), "\(failed)")
        #expect(hints(failed) == ["the store is as it was"])
        #expect(try users(relay.storePath) == ["alice", "bob"] && files(".before-") == [] && files(".restoring") == [])
        #expect(late != nil)
        late = nil

        // And the log cannot be put back: what to type is said, and is right.
        late = try reader()
        failed = try await apply(.full, .rename, on: .any, passing: 1)
        #expect(failed.status == .exited(1) && failed.standardError.contains("do not start relayd"), "\(failed)")
        try #require(try hints(failed).count == 1 && files(".before-").count == 1, "\(failed)")
        #expect(try await type(hints(failed)[0], relay).succeeded)
        #expect(try users(relay.storePath) == ["alice", "bob"] && files(".before-") == [] && files(".restoring") == [])
        #expect(late != nil)
        late = nil

        // The names are not flushed: the backup is in its place, and that is not called a success.
        failed = try await apply(.full, .flush, on: .folder, passing: 1)
        #expect(failed.status == .exited(1) && failed.standardError.contains("does not say that it stays there"), "\(failed)")
        #expect(try users(relay.storePath) == ["alice"])
        try await relay.start()
        #expect(try await relay.chatctl.json(["user", "list"], as: UserList.Reply.self).users.map(\.name) == ["alice"])
        #expect(await relay.terminate() == .exited(0))
    }

    /// A log without its store is what is left of a store that somebody took away: it is not deleted.
    @Test(.timeLimit(.minutes(10))) func aLogWithoutItsStoreIsKept() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        _ = try await relay.chatctl.addUser("alice")
        let made = try await relay.chatctl.json(["backup", "create"], as: BackupStatus.Finished.self)
        #expect(await relay.terminate() == .exited(0))
        try FileManager.default.removeItem(atPath: relay.storePath)
        try Data("left".utf8).write(to: URL(filePath: relay.storePath + "-wal"))
        let arguments = [made.path, "--store", relay.storePath]
        let plan: RestorePlan = try await relay.chatctl.json(["backup", "restore", "plan"] + arguments)
        let report: RestoreReport = try await relay.chatctl.json(["backup", "restore", "apply"] + arguments + ["--plan", plan.plan])
        #expect(try String(contentsOfFile: try #require(report.before), encoding: .utf8) == "left")
        try await relay.start()
        #expect(await relay.terminate() == .exited(0))
    }
}
