import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// `chatctl check`, `health` and `top` against the real relay: each fault is planted, found, and gone again.
@Suite("Checks and live views") struct HostCheckTests {
    private struct Report: Decodable {
        struct Finding: Decodable {
            var group: String
            var check: String
            var result: String
            var text: String
            var advice: String?
        }
        var verdict: String
        var warnings: Int
        var errors: Int
        var findings: [Finding]

        /// No errors but those that this machine may have: a temporary directory in memory, a low limit of descriptors.
        var isSound: Bool { findings.allSatisfy { $0.result != "error" || ["flush", "descriptors"].contains($0.check) } }

        /// What one check found: the worst.
        func result(_ group: String, _ check: String) -> String? {
            let found = findings.filter { $0.group == group && $0.check == check }.map(\.result)
            return ["error", "warning", "skipped", "good"].first { found.contains($0) }
        }

        func text(_ group: String, _ check: String) -> String {
            findings.filter { $0.group == group && $0.check == check }.map { "\($0.text) \($0.advice ?? "")" }.joined(separator: "\n")
        }
    }

    private func check(_ relay: RelayProcess, _ arguments: String...) async throws -> Report {
        try await check(relay.chatctl, arguments + ["--config", relay.configurationPath, "--relayd", Programs.relayd])
    }

    private func check(_ chatctl: Chatctl, _ arguments: [String]) async throws -> Report {
        let result = try await chatctl.run(["check"] + arguments + ["--json"])
        let report = try JSONDecoder().decode(Report.self, from: Data(result.standardOutput.utf8))
        let status: Int32 = report.errors > 0 ? 2 : report.warnings > 0 ? 1 : 0
        #expect(result.status == .exited(status) && result.standardError.isEmpty, "\(result)")
        #expect(report.verdict == ["good", "warnings", "errors"][Int(status)])
        for finding in report.findings where ["warning", "error"].contains(finding.result) { #expect(finding.advice?.isEmpty == false, "\(finding)") }
        return report
    }

    @Test(.timeLimit(.minutes(10))) func plantedFaultsAreFound() async throws {
        let relay = try RelayProcess(sections: "[alerts]\nwebhook = \"http://127.0.0.1:9/key\"\ndisk_free_percent = 3\n")
        chmod(relay.configurationPath, 0o600)
        try await relay.start()
        let good = try await check(relay)
        #expect(good.isSound, "\(good)")
        for (group, name) in [
            ("relay", "relayd"), ("configuration", "file"), ("configuration", "in force"), ("files", "configuration"), ("files", "store"),
            ("files", "control socket"), ("disk", "space"), ("disk", "integrity"), ("host", "ports"), ("host", "purge"),
        ] {
            #expect(good.result(group, name) == "good", "\(name): \(good.text(group, name))")
        }
        #expect(good.result("disk", "flush") != nil && good.result("disk", "flush") != "skipped")
        #expect(Set(good.findings.map(\.group)) == ["relay", "configuration", "files", "disk", "host"])
        #expect(try await check(relay, "host", "--quick").findings.allSatisfy { $0.group == "host" })
        #expect(try await check(relay, "disk", "--quick").result("disk", "flush") == "skipped")
        // Nothing is left beside the store.
        #expect(try FileManager.default.contentsOfDirectory(atPath: relay.directory.path).allSatisfy { !$0.contains("check") })

        // Modes.
        for (path, mode, back, name, says) in [
            (relay.storePath, 0o644, 0o600, "store", "chmod 600"), (relay.directory.path, 0o755, 0o700, "store", "chmod 700"),
            (relay.configurationPath, 0o666, 0o600, "configuration", "chmod go-w"),
            (relay.configurationPath, 0o644, 0o600, "configuration", "secret"),
            (relay.controlSocket, 0o600, 0o666, "control socket", "chmod 666"), (relay.directory.path, 0o777, 0o700, "control socket", "chmod 755"),
        ] as [(String, mode_t, mode_t, String, String)] {
            chmod(path, mode)
            let report = try await check(relay, "files")
            #expect(["warning", "error"].contains(report.result("files", name)), "\(path) \(mode): \(report)")
            #expect(report.text("files", name).contains(says), "\(report.text("files", name))")
            chmod(path, back)
        }
        #expect(try await check(relay, "files").result("files", "store") == "good")

        // Too few descriptors.
        let pid = try #require(relay.processID)
        let before = try await Subprocess.run("prlimit", ["--pid", "\(pid)", "--nofile", "--output", "SOFT", "--noheadings"])
        #expect(try await Subprocess.run("prlimit", ["--pid", "\(pid)", "--nofile=1024:"]).status == .exited(0))
        #expect(try await check(relay, "host").result("host", "descriptors") == "error")
        let soft = before.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try await Subprocess.run("prlimit", ["--pid", "\(pid)", "--nofile=\(soft):"]).status == .exited(0))

        // The file says otherwise, and then nonsense.
        let text = try String(contentsOfFile: relay.configurationPath, encoding: .utf8)
        func write(_ text: String) throws { try text.write(toFile: relay.configurationPath, atomically: false, encoding: .utf8) }
        try write(text.replacing("[store]", with: "[store]\nreaders = 3"))
        let changed = try await check(relay, "configuration")
        #expect(changed.result("configuration", "in force") == "warning" && changed.text("configuration", "in force").contains("store.readers"))
        try write(text + "\n[lok]\n")
        let wrong = try await check(relay, "configuration")
        #expect(wrong.result("configuration", "file") == "error" && wrong.text("configuration", "file").contains("did you mean [log]?"))
        try write(text)

        // People see the same.
        let page = try await relay.chatctl.run("check", "--quick")
        #expect(page.standardOutput.contains("RELAY\n  good     relayd  ") && !page.standardOutput.contains("\u{1B}"), "\(page)")
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func aStoppedRelayIsCheckedAsFarAsItGoes() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        for number in 0..<3 { _ = try await relay.chatctl.addUser("user\(number)") }
        await relay.terminate()
        let stopped = try await check(relay)
        #expect(stopped.isSound && stopped.result("relay", "relayd") == "warning", "\(stopped)")
        #expect(stopped.result("disk", "integrity") == "good" && stopped.result("configuration", "file") == "good")
        #expect(stopped.result("host", "ports") == "good" && stopped.result("files", "store") == "good", "\(stopped)")
        #expect(!FileManager.default.fileExists(atPath: relay.storePath + "-wal"))

        // Somebody else's port.
        let other = try RelayProcess()
        try await other.start()
        let text = try String(contentsOfFile: relay.configurationPath, encoding: .utf8)
        try text.replacing(":\(relay.port)\"", with: ":\(other.port)\"").write(toFile: relay.configurationPath, atomically: false, encoding: .utf8)
        let taken = try await check(relay, "host")
        #expect(taken.result("host", "ports") == "error" && taken.text("host", "ports").contains("another program"), "\(taken)")
        await other.terminate()
        try (text + "\n[store\n").write(toFile: relay.configurationPath, atomically: false, encoding: .utf8)
        #expect(try await check(relay, "configuration").result("configuration", "file") == "error")
        try text.write(toFile: relay.configurationPath, atomically: false, encoding: .utf8)

        // Pages of zeros where rows were.
        let file = try FileHandle(forUpdating: URL(filePath: relay.storePath))
        let size = try file.seekToEnd()
        for page in stride(from: UInt64(4), to: size / 4096, by: 3) {
            try file.seek(toOffset: page * 4096)
            try file.write(contentsOf: Data(count: 4096))
        }
        try file.close()
        let damaged = try await check(relay, "disk")
        #expect(damaged.result("disk", "integrity") == "error" && damaged.text("disk", "integrity").contains("backup"), "\(damaged)")
    }

    @Test(.timeLimit(.minutes(10)), .enabled(if: geteuid() == 0, "needs root to mount a file system"))
    func aFullFileSystemInMemoryIsFound() async throws {
        let directory = try TemporaryDirectory()
        let place = directory.file("data")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        let configuration = directory.file("relayd.toml")
        try "[store]\npath = \"\(place)/relay.db\"\n[control]\nsocket = \"\(directory.file("c.sock"))\"\n".write(
            toFile: configuration, atomically: false, encoding: .utf8)
        let command = """
            mount -t tmpfs -o size=2m,mode=700 tmpfs '\(place)' || exit 99
            '\(Programs.chatctl)' check disk --json --socket '\(directory.file("c.sock"))' --config '\(configuration)' --relayd '\(Programs.relayd)'
            head -c 4m /dev/zero > '\(place)/filler' 2>/dev/null
            echo; echo ==
            '\(Programs.chatctl)' check disk --json --socket '\(directory.file("c.sock"))' --config '\(configuration)' --relayd '\(Programs.relayd)'
            true
            """
        let run = try await Subprocess.run("unshare", ["-m", "--propagation", "private", "sh", "-c", command])
        // Root in a container may not mount.
        if run.standardError.contains("not permitted") { return }
        try #require(run.status == .exited(0), "\(run)")
        let reports = try run.standardOutput.components(separatedBy: "\n==\n").map { try JSONDecoder().decode(Report.self, from: Data($0.utf8)) }
        try #require(reports.count == 2)
        #expect(reports[0].text("disk", "flush").contains("lies in memory") && reports[0].result("disk", "flush") == "error")
        #expect(reports[1].result("disk", "space") == "error", "\(reports[1])")
        #expect(reports[1].text("disk", "flush").contains("cannot be written"), "\(reports[1])")
    }

    @Test(.timeLimit(.minutes(10))) func probesTellLiveFromReady() async throws {
        let relay = try RelayProcess()
        let chatctl = relay.chatctl
        for word in ["live", "ready"] { #expect(try await chatctl.run("health", word).status == .exited(69)) }
        try await relay.start()
        let live = try await chatctl.run("health", "live")
        #expect(live.succeeded && live.standardOutput == "live\n", "\(live)")
        let ready = try await chatctl.run("health", "ready", "--strict")
        #expect(ready.succeeded && ready.standardOutput == "ready\n", "\(ready)")
        #expect(try await chatctl.json(["health", "ready"], as: Health.Reply.self) == Health.Reply(reasons: []))
        #expect(try await relay.control.request("GET", "/v1/health").body.contains(#""state":"ready""#))
        // A relay that hangs.
        kill(try #require(relay.processID), SIGSTOP)
        for word in ["live", "ready"] { #expect(try await chatctl.run("health", word, "--timeout", "1s").status == .exited(75)) }
        kill(try #require(relay.processID), SIGCONT)
        #expect(try await chatctl.run("health", "live").succeeded)
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func topPrintsLinesAndLeavesTheTerminalAsItWas() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let lines = try await relay.chatctl.run("top", "--count", "2", "--interval", "1s")
        #expect(lines.succeeded && lines.standardOutput.split(separator: "\n").count == 2, "\(lines)")
        #expect(lines.standardOutput.contains("sends ") && !lines.standardOutput.contains("\u{1B}"), "\(lines)")
        let json = try await relay.chatctl.run("top", "--count", "1", "--json")
        #expect(try JSONSerialization.jsonObject(with: Data(json.standardOutput.utf8)) is [String: Any], "\(json)")

        // On a terminal: a screen of its own, which q ends.
        let before = relay.directory.file("before"), after = relay.directory.file("after")
        let command = "stty -a > '\(before)'; '\(Programs.chatctl)' top --interval 60s; echo ended $?; stty -a > '\(after)'"
        var environment = relay.chatctl.environment
        environment["TERM"] = "xterm"
        for key in ["q", "\u{3}"] {
            let terminal = try Subprocess("script", ["--quiet", "--return", "--command", command, "/dev/null"], environment: environment, input: nil)
            // It is drawn: from here on keys are its own.
            while !terminal.standardOutput.text.contains("q ends") { await Task.yield() }
            terminal.type(key)
            #expect(await terminal.waitForExit() == .exited(0))
            await terminal.standardOutput.waitForEnd()
            let text = terminal.standardOutput.text
            #expect(
                text.contains("\u{1B}[?1049h") && text.contains("\u{1B}[?1049l") && text.contains("\u{1B}[?25h") && text.contains("ended 0"),
                "\(text)")
            #expect(try String(contentsOfFile: before, encoding: .utf8) == String(contentsOfFile: after, encoding: .utf8))
        }
        await relay.terminate()
    }
}
