import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// `chatctl config`, and what a reload does: the real programs.
@Suite("Configuration") struct ConfigTests {
    private func write(_ text: String, _ relay: RelayProcess) throws {
        try text.write(toFile: relay.configurationPath, atomically: false, encoding: .utf8)
    }

    private func diff(_ relay: RelayProcess) async throws -> [ConfigurationDifference] {
        try await relay.chatctl.json(["config", "diff"], as: ConfigDiff.Reply.self).differences
    }

    /// SIGHUP, and waits for the line that tells what became of it.
    private func reload(_ relay: RelayProcess, until line: String) async throws {
        kill(try #require(relay.processID), SIGHUP)
        while !relay.standardError.contains(line) { try await Task.sleep(for: .milliseconds(5)) }
    }

    @Test(.timeLimit(.minutes(10))) func showsWhatIsInForceAndWhatTheFileSaysOtherwise() async throws {
        let relay = try RelayProcess(
            logLevel: "info", sections: "[alerts]\nwebhook = \"http://127.0.0.1:9/hook?key=geheim\"\ndisk_free_percent = 3\n"
        )
        try await relay.start()
        let chatctl = relay.chatctl
        let good = try String(contentsOfFile: relay.configurationPath, encoding: .utf8)

        let all: ConfigShow.Reply = try await chatctl.json(["config", "show"])
        #expect(all.path == relay.configurationPath)
        func option(_ name: String) throws -> ConfigurationRecord { try #require(all.options.first { $0.name == name }) }
        #expect(try option("store.path").value == .text(relay.storePath) && option("store.path").line != nil)
        #expect(try option("store.readers").line == nil && option("store.readers").value == .number(2))
        #expect(try option("alerts.webhook").value == nil && option("alerts.webhook").secret)
        for arguments in [
            ["config", "show"], ["config", "show", "--json"], ["config", "diff"], ["alert", "kinds"], ["alert", "kinds", "--json"],
        ] {
            let result = try await chatctl.run(arguments)
            #expect(result.succeeded && !result.standardOutput.contains("geheim"), "\(arguments): \(result)")
        }
        #expect(
            try await chatctl.json(["config", "show", "log"], as: ConfigShow.Reply.self).options.map(\.name) == ["log.level", "log.destination"])
        let set: ConfigShow.Reply = try await chatctl.json(["config", "show", "--set", "store"])
        #expect(set.options.map(\.name) == ["store.path"])
        let one = try await chatctl.run("config", "show", "limits.message_bytes")
        #expect(one.standardOutput.contains("65664 bytes") && one.standardOutput.contains("meaning"), "\(one)")
        let unknown = try await chatctl.run("config", "show", "nonsense")
        #expect(unknown.status == .exited(1) && unknown.standardError.contains("no section or key nonsense"), "\(unknown)")
        #expect(try await diff(relay).isEmpty)
        #expect(try await chatctl.run("config", "diff").standardOutput.contains("says what is in force"))

        // Two that a reload takes, one that does not, and one that goes from the file.
        try write(
            good.replacing("\"info\"", with: "\"debug\"").replacing("[store]", with: "[store]\nreaders = 3")
                .replacing("disk_free_percent = 3\n", with: "errors_per_minute = 7\n").replacing("key=geheim", with: "key=neu"), relay)
        let before = try await diff(relay)
        #expect(before.map(\.name) == ["store.readers", "alerts.webhook", "alerts.disk_free_percent", "alerts.errors_per_minute", "log.level"])
        #expect(before.map(\.needs) == [.restart, .reload, .reload, .reload, .reload])
        #expect(before[1].running == nil && before[1].file == nil)
        #expect(before[2].running == .number(3) && before[2].file == .number(10) && before[2].line == nil)
        #expect(before[4].running == .text("info") && before[4].file == .text("debug") && before[4].line != nil)
        try await reload(relay, until: "needs a restart")
        #expect(try await diff(relay).map(\.name) == ["store.readers"])
        #expect(!relay.standardError.contains("geheim") && !relay.standardError.contains("key=neu"))
        let kinds: AlertKinds.Reply = try await chatctl.json(["alert", "kinds"])
        #expect(kinds.kinds.first { $0.kind == "error_burst" }?.raise == 7 && kinds.kinds.first { $0.kind == "disk_low" }?.raise == 10)
        let after: ConfigShow.Reply = try await chatctl.json(["config", "show"])
        #expect(after.options.first { $0.name == "store.readers" }?.line == nil)
        #expect(after.options.first { $0.name == "alerts.disk_free_percent" }?.line == nil)
        #expect(after.options.first { $0.name == "alerts.errors_per_minute" }?.line != nil)

        // The target of alerts can be put elsewhere, and away.
        try write(good.replacing("webhook = \"http://127.0.0.1:9/hook?key=geheim\"", with: "command = \"/bin/true\"\nseverity = \"info\""), relay)
        try await reload(relay, until: "reloaded key=alerts.command")
        while try await chatctl.json(["alert", "kinds"], as: AlertKinds.Reply.self).target != "/bin/true" { await Task.yield() }
        #expect(try await chatctl.run("alert", "test").succeeded)

        // A file that is wrong is told with its place, and changes nothing.
        try write(good + "\n[lok]\nx = 1\n", relay)
        let wrong = try await chatctl.run("config", "diff")
        #expect(wrong.status == .exited(78) && wrong.standardError.contains(":1: there is no section [lok]; did you mean [log]?"), "\(wrong)")
        #expect(wrong.standardError.contains("chatctl: hint: relayd would not start with it"))
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func theListOfAStoppedRelayIsTheSame() async throws {
        let relay = try RelayProcess()
        let listed = try await Subprocess.run(Programs.relayd, ["--config", relay.configurationPath, "--check-config", "--json"])
        #expect(listed.status == .exited(0))
        try await relay.start()
        let running: ConfigShow.Reply = try await relay.chatctl.json(["config", "show"])
        #expect(try JSONDecoder().decode(ConfigShow.Reply.self, from: Data(listed.standardOutput.utf8)) == running)
        await relay.terminate()
        #expect(try await Subprocess.run(Programs.relayd, ["--json"]).status == .exited(64))
    }
}
