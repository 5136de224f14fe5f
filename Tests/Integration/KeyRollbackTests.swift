import RelayClient
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

/// A relay that gives an older key than before: its store was set back, or somebody made it do so.
@Suite("A relay that goes back to an older key") struct KeyRollbackTests {
    @Test(.timeLimit(.minutes(10))) func nothingIsSealedForTheOlderKey() async throws {
        let relay = try RelayProcess(everyoneIsContact: true)
        try await relay.start()
        let directory = try TemporaryDirectory()
        func device(_ user: String) async throws -> TestDevice {
            let link = try await relay.chatctl.addUser(user).invite.link
            let device = try await TestDevice(name: "\(user).phone", link: link, directory: StateDirectory(directory.file(user)))
            try await device.goOnline()
            return device
        }
        let (alice, bob) = (try await device("alice"), try await device("bob"))
        func send(_ text: String) async throws -> Int64 {
            let id = try await alice.session.send(text, to: "bob")
            try await alice.session.wait(for: [id], .sent, timeout: .seconds(300))
            return id
        }
        func untilAliceKnows(_ version: UInt32) async throws {
            let user = bob.account.user
            try await alice.session.wait(for: "key \(version)", timeout: .seconds(300)) { session throws(ClientError) in
                try session.read { state throws(ClientError) in try state.devices(of: user).contains { $0.agreementVersion == version } }
            }
        }
        _ = try await send("hello")
        try await bob.wait(for: "hello") { $0.received.count == 1 }
        #expect(await relay.terminate() == .exited(0))
        let columns = "agreement_key, agreement_signature, agreement_version"
        func inStore<Result>(_ work: (Database) throws -> Result) throws -> Result {
            try work(try Database(path: relay.storePath, access: .readWriteCreate))
        }
        try inStore { try $0.execute("CREATE TABLE kept AS SELECT device_id, \(columns) FROM devices") }
        try await relay.start()
        try await bob.session.wait(for: "the relay", timeout: .seconds(300)) { $0.isConnected }
        try await alice.session.wait(for: "the relay", timeout: .seconds(300)) { $0.isConnected }
        try await bob.session.replaceKey()
        try await untilAliceKnows(2)
        _ = try await send("for the second key")
        try await bob.wait(for: "the second message") { $0.received.count == 2 }

        try await bob.goOffline()
        #expect(await relay.terminate() == .exited(0))
        try inStore {
            try $0.execute("UPDATE devices SET (\(columns)) = (SELECT \(columns) FROM kept WHERE kept.device_id = devices.device_id)")
            try $0.execute("DELETE FROM prekeys")
            try $0.execute("DROP TABLE kept")
        }
        try await relay.start()
        // The relay refuses the newer key and offers the older one: nothing is sealed for that, and it does not go round in circles.
        let refused = try await send("for the older key?")
        let letter = try #require(alice.log.dead.first { $0.id == refused })
        #expect(letter.code == "key_rollback" && letter.reason.contains("an older key of a device of bob"))

        // The device replaces its key as often as it takes to be ahead of what others know.
        try await bob.goOnline()
        #expect(try await bob.session.replaceKey() == 3)
        try await untilAliceKnows(3)
        let accepted = try await send("for the third key")
        #expect(!alice.log.dead.contains { $0.id == accepted })
        try await bob.wait(for: "the third message") { $0.received.contains { $0.text == "for the third key" } }
        #expect(!bob.log.received.contains { $0.text == "for the older key?" } && bob.log.unreadable.isEmpty)
        try await alice.close()
        try await bob.close()
        #expect(await relay.terminate() == .exited(0))
    }
}
