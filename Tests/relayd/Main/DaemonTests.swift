import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// The real daemon, started, reloaded and stopped.
@Suite struct DaemonTests {
    @Test func startsServesAndStopsCleanly() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let status = try await relay.chatctl.status()
        #expect(status.users == 0)
        #expect(status.relayVersion == relayVersion)
        #expect(await relay.terminate() == .exited(0))
        #expect(!FileManager.default.fileExists(atPath: relay.controlSocket))
        #expect(!FileManager.default.fileExists(atPath: relay.storePath + "-wal"))
    }

    @Test func aSecondRelayIsRefused() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let second = try await Subprocess.run(Programs.relayd, ["--config", relay.configurationPath])
        #expect(second.0 == .exited(1))
        #expect(second.2.contains("in use by another relayd"))
        #expect(try await relay.chatctl.status().users == 0)
        await relay.terminate()
    }

    @Test func aControlSocketThatAnswersIsNotTaken() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let directory = try TemporaryDirectory()
        let text = try String(contentsOfFile: relay.configurationPath, encoding: .utf8)
            .replacing(relay.storePath, with: directory.file("other.db")).replacing(":\(relay.port)", with: ":\(relay.port + 1)")
        try text.write(toFile: directory.file("other.toml"), atomically: false, encoding: .utf8)
        let second = try await Subprocess.run(Programs.relayd, ["--config", directory.file("other.toml")])
        #expect(second.0 == .exited(1))
        #expect(second.2.contains("another relayd answers on the control socket"))
        #expect(try await relay.chatctl.status().users == 0)
        await relay.terminate()
    }

    @Test func anAddressInUseIsNamed() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let directory = try TemporaryDirectory()
        let text = try String(contentsOfFile: relay.configurationPath, encoding: .utf8).replacing(relay.directory.path, with: directory.path)
        try text.write(toFile: directory.file("other.toml"), atomically: false, encoding: .utf8)
        let second = try await Subprocess.run(Programs.relayd, ["--config", directory.file("other.toml")])
        #expect(second.0 == .exited(1))
        #expect(second.2.contains("another program listens on 127.0.0.1:\(relay.port) already"))
        await relay.terminate()
    }

    @Test func aSocketLeftByACrashIsReplaced() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        try await relay.kill()
        #expect(FileManager.default.fileExists(atPath: relay.controlSocket))
        try await relay.start()
        #expect(try await relay.chatctl.status().users == 0)
        await relay.terminate()
    }

    @Test func wrongConfigurationExitsWith78() async throws {
        let directory = try TemporaryDirectory()
        try "[listen]\nadress = \"x\"\n".write(toFile: directory.file("c"), atomically: false, encoding: .utf8)
        for arguments in [["--config", directory.file("c")], ["--config", directory.file("c"), "--check-config"], ["--config", "/nonexistent"]] {
            let result = try await Subprocess.run(Programs.relayd, arguments)
            #expect(result.0 == .exited(78))
            #expect(result.2.hasPrefix("relayd: /"))
        }
        #expect(try await Subprocess.run(Programs.relayd, ["--nonsense"]).0 == .exited(64))
    }

    @Test func aReloadChangesTheLevelAndABadOneNothing() async throws {
        let relay = try RelayProcess(logLevel: "info")
        try await relay.start()
        let pid = try #require(relay.processID)
        let good = try String(contentsOfFile: relay.configurationPath, encoding: .utf8)
        func reload(_ text: String, until line: String) async throws {
            try text.write(toFile: relay.configurationPath, atomically: false, encoding: .utf8)
            kill(pid, SIGHUP)
            while !relay.standardError.contains(line) { try await Task.sleep(for: .milliseconds(5)) }
        }
        try await reload(good.replacing("\"info\"", with: "\"noise\""), until: "the one before stays in force")
        try await reload(good.replacing("[store]", with: "[store]\nreaders = 3"), until: "needs a restart")
        try await reload(good.replacing("\"info\"", with: "\"debug\""), until: "reloaded key=log.level")
        #expect(try await relay.chatctl.status().processID == Int(pid))
        #expect(await relay.terminate() == .exited(0))
    }
}
