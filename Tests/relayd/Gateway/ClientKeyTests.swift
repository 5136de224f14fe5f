import NIOPosix
import RelayCrypto
import RelayDirectory
import RelayModel
import RelayStorage
import RelayTestSupport
import RelayWire
import Testing

@testable import RelayClient

/// The real client at a real relay, on one clock that the test moves: rotations when it is time, graces that end, crashes in between.
@Suite(.timeLimit(.minutes(10))) struct ClientKeyTests {
    private func device(_ relay: RunningGateway, _ folder: TemporaryDirectory, _ user: String, _ name: String = "phone") async throws -> TestDevice {
        let actor = RelayStorage.Actor(uid: 0, operation: "test", subject: user)
        let code: String
        if name == "phone" {
            code = try await relay.directory.addUser(name: user, displayName: nil, avatar: nil, inviteLifetime: nil, actor: actor).invite.code
        } else {
            code = try await relay.directory.createInvite(user: user, lifetime: nil, actor: actor).code
        }
        let device = try await TestDevice(
            name: "\(user).\(name)", link: "http://127.0.0.1:\(relay.port)/enrol#\(code)",
            directory: StateDirectory(folder.file("\(user).\(name)")), clock: relay.clock)
        try await device.goOnline()
        return device
    }

    private func deliver(_ text: String, _ from: TestDevice, _ to: TestDevice, user: String) async throws {
        let id = try await from.session.send(text, to: user)
        try await from.session.wait(for: [id], .sent, timeout: .seconds(300))
        try await to.wait(for: text) { $0.received.contains { $0.text == text } }
    }

    private func versions(_ device: TestDevice) async throws -> [UInt32?] { try await device.session.agreementKeys.map(\.version) }

    private func untilKeys(_ versions: [UInt32], _ device: TestDevice) async throws {
        try await device.session.wait(for: "the keys \(versions)", timeout: .seconds(300)) {
            !$0.replacingKey && $0.agreementKeys.map(\.version) == versions
        }
    }

    private func untilKnown(_ version: UInt32, of user: TestDevice, to device: TestDevice) async throws {
        let id = user.account.user
        try await device.session.wait(for: "key \(version)", timeout: .seconds(300)) { session throws(ClientError) in
            try session.working().devices(of: id).first?.agreementVersion == version
        }
    }

    /// The number of the key of a user's only device that another device has.
    private func known(_ user: TestDevice, to device: TestDevice) async throws -> UInt32? {
        let id = user.account.user
        return try await device.session.read { state throws(ClientError) in try state.devices(of: id) }.first?.agreementVersion
    }

    @Test func withinAndAfterTheGrace() async throws {
        try await RunningGateway.run { relay, _ in
            let folder = try TemporaryDirectory()
            let (alice, bob) = (try await device(relay, folder, "alice"), try await device(relay, folder, "bob"))
            try await deliver("hello", alice, bob, user: "bob")
            // Nobody is a contact here, so alice is not told of what happens while she is away.
            try await alice.goOffline()
            try await bob.session.replaceKey(grace: .seconds(3600))
            relay.clock.advance(by: .seconds(3599))
            try await alice.goOnline()
            try await deliver("within", alice, bob, user: "bob")
            #expect(try await known(bob, to: alice) == 1)
            relay.clock.advance(by: .seconds(1))
            try await deliver("after", alice, bob, user: "bob")
            #expect(try await known(bob, to: alice) == 2)
            #expect(alice.log.dead.isEmpty && bob.log.unreadable.isEmpty)
            // The secret goes when the mailbox was received after the grace; where this takes long, bob connects anew for that by himself.
            #expect(try await [[2, 1], [2]].contains(versions(bob)))
            try await bob.goOffline()
            try await bob.goOnline()
            #expect(try await versions(bob) == [2])
            try await bob.close()
            try await alice.close()
        }
    }

    @Test func byItselfWhenItIsTime() async throws {
        try await RunningGateway.run { relay, _ in
            let folder = try TemporaryDirectory()
            let (alice, bob) = (try await device(relay, folder, "alice"), try await device(relay, folder, "bob"))
            try await deliver("hello", alice, bob, user: "bob")
            try await bob.session.checkKeys()
            #expect(try await versions(bob) == [1])
            relay.clock.advance(by: Limits.agreementKeyAge)
            try await bob.session.checkKeys()
            try await untilKeys([2, 1], bob)
            try await untilKnown(2, of: bob, to: alice)
            try await deliver("for the second", alice, bob, user: "bob")
            // A connection that lasts is opened anew, so that the first secret goes; and the key is a week old again.
            relay.clock.advance(by: Limits.agreementKeyAge)
            let before = bob.log.connections
            try await bob.session.checkKeys()
            try await untilKeys([3, 2], bob)
            #expect(bob.log.connections == before + 1)
            try await deliver("for the third", alice, bob, user: "bob")
            // With the next connection, as well.
            try await bob.goOffline()
            relay.clock.advance(by: Limits.agreementKeyAge)
            try await bob.goOnline()
            try await untilKeys([4, 3], bob)
            #expect(bob.log.failures.isEmpty && bob.log.unreadable.isEmpty)
            try await alice.close()
            try await bob.close()
        }
    }

    /// The process dies before the relay heard of the new key, or before it heard the answer. In between somebody seals for either.
    @Test(arguments: [false, true]) func aCrashInBetween(relayHasIt: Bool) async throws {
        try await RunningGateway.run { relay, _ in
            let folder = try TemporaryDirectory()
            let (alice, bob) = (try await device(relay, folder, "alice"), try await device(relay, folder, "bob"))
            try await deliver("hello", alice, bob, user: "bob")
            try await bob.close()
            var keys = try #require(try bob.directory.readKeys())
            keys.begin(grace: .seconds(3600), at: relay.clock.now(), SystemEntropy())
            try bob.directory.write(keys)
            if relayHasIt {
                let api = RelayAPI(
                    endpoint: try InviteLink("http://127.0.0.1:\(relay.port)/enrol#x").endpoint, group: MultiThreadedEventLoopGroup.singleton)
                let (key, signature, grace) = try #require(keys.publication)
                let token = try await api.token(device: bob.account.device, secrets: keys.device).token
                let state = try await api.replaceAgreementKey(
                    of: bob.account.device, with: key, signature: signature, grace: grace, token: token)
                #expect(state.agreementVersion == 2)
                await api.close()
                try await untilKnown(2, of: bob, to: alice)
            }
            let id = try await alice.session.send("while it was dead", to: "bob")
            try await alice.session.wait(for: [id], .sent, timeout: .seconds(300))
            try bob.reopen()
            try await bob.goOnline()
            try await bob.wait(for: "the message") { $0.received.contains { $0.text == "while it was dead" } }
            try await untilKeys([2, 1], bob)
            try await deliver("and now", alice, bob, user: "bob")
            #expect(bob.log.unreadable.isEmpty)
            let state = try await relay.directory.keysState(of: bob.account.device)
            #expect(state.agreementVersion == 2)
            try await alice.close()
            try await bob.close()
        }
    }

    /// A device whose directory comes from a backup has an older key than the relay gives out: it makes a new one, and asks for what it could not read.
    @Test func aBackupHealsItself() async throws {
        try await RunningGateway.run { relay, _ in
            let folder = try TemporaryDirectory()
            let (alice, bob) = (try await device(relay, folder, "alice"), try await device(relay, folder, "bob"))
            try await deliver("hello", alice, bob, user: "bob")
            let backup = try #require(try bob.directory.readKeys())
            try await bob.session.replaceKey()
            try await bob.close()
            let id = try await alice.session.send("for the lost key", to: "bob")
            try await alice.session.wait(for: [id], .sent, timeout: .seconds(300))
            try bob.directory.write(backup)
            try bob.reopen()
            try await bob.goOnline()
            try await untilKeys([3, 1], bob)
            // Within the grace alice may still seal for the lost key, until she was told of the new one.
            try await untilKnown(3, of: bob, to: alice)
            try await deliver("for the new key", alice, bob, user: "bob")
            try await bob.wait(for: "what it could not read") { $0.recovered.contains { $0.text == "for the lost key" } }
            #expect(bob.log.unreadable.count == 1 && alice.log.resent.count == 1)
            try await alice.close()
            try await bob.close()
        }
    }

    @Test func refusalsAndBounds() async throws {
        try await RunningGateway.run { relay, _ in
            let folder = try TemporaryDirectory()
            let bob = try await device(relay, folder, "bob")
            await #expect(throws: ClientError.self) { try await bob.session.replaceKey(grace: Limits.keyGraceCeiling + .seconds(1)) }
            await #expect(throws: ClientError.self) { try await bob.session.replaceKey(grace: .seconds(-1)) }
            #expect(try await versions(bob) == [1])
            for _ in 0..<Limits.keyChangesInWindow { try await bob.session.replaceKey() }
            // Only so many former secrets are kept, as the relay does.
            #expect(try await versions(bob).count == 1 + Limits.formerKeys)
            do {
                try await bob.session.replaceKey()
                Issue.record("the relay took one more")
            } catch ClientError.refused(let refusal) {
                #expect(refusal.code == "rate_limited")
            }
            // It waits, and is finished when the relay takes it.
            #expect(try await bob.session.agreementKeys.first?.stage == .pending)
            relay.clock.advance(by: Limits.keyChangeWindow)
            try await bob.session.checkKeys()
            try await bob.session.wait(for: "the pending key", timeout: .seconds(300)) { $0.keys.version == UInt32(Limits.keyChangesInWindow) + 2 }
            try await bob.close()
        }
    }
}
