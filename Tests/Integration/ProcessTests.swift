import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// relayd as the service manager sees it.
@Suite("relayd as a process") struct ProcessTests {
    @Test(.timeLimit(.minutes(10))) func saysReadyAnswersAndStopsCleanly() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let status = try await relay.chatctl.status()
        #expect(status.processID == relay.processID.map(Int.init))
        #expect(status.listening == ["http://127.0.0.1:\(relay.port)"])
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError)")
    }

    @Test(.timeLimit(.minutes(10))) func aSecondOneOnTheSameStoreIsRefused() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let second = try await Subprocess.run(Programs.relayd, ["--config", relay.configurationPath])
        #expect(second.status == .exited(1))
        #expect(second.standardError.contains("in use by another relayd"))
        #expect(await relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func whatItKnewSurvivesAKill() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        _ = try await relay.chatctl.addUser("alice")
        try await relay.kill()
        try await relay.start()
        #expect(try await relay.chatctl.run("user", "show", "alice").succeeded)
        await relay.terminate()
    }

    /// Whatever ends it in the middle of a test must be seen by the test that kills it.
    @Test(.timeLimit(.minutes(10))) func anEarlierEndIsNotTakenForAKill() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        relay.send(SIGTERM)
        // Its output ends with it.
        _ = await relay.line(where: { _ in false })
        let failure = await #expect(throws: SupportFailure.self) { try await relay.kill() }
        #expect(failure?.description.contains("ended by itself, with exit status 0") == true)
    }

    @Test(.timeLimit(.minutes(10)), arguments: ["[listen]\naddress = \"0.0.0.0:18999\"\n", "[listen]\nadress = \"127.0.0.1:1\"\n", "[listen\n"])
    func aWrongConfigurationIsRefused(text: String) async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("relayd.toml")
        try (text + "\n[store]\npath = \"\(directory.file("relay.db"))\"\n").write(toFile: path, atomically: false, encoding: .utf8)
        let result = try await Subprocess.run(Programs.relayd, ["--config", path])
        #expect(result.status == .exited(78), "\(result.standardError)")
        #expect(result.standardError.contains("relayd:"), "\(result.standardError)")
    }

    @Test(.timeLimit(.minutes(10))) func theStoreIsItsOwn() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let mode = try FileManager.default.attributesOfItem(atPath: relay.storePath)[.posixPermissions] as? Int
        #expect(mode.map { $0 & 0o077 } == 0, "the store's mode is \(mode.map { String($0, radix: 8) } ?? "unknown")")
        await relay.terminate()
    }
}
