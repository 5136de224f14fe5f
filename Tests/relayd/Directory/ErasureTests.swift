import Dispatch
import RelayCrypto
import RelayModel
import RelayTestSupport
import Synchronization
import Testing

@testable import RelayDirectory
@testable import RelayStorage

/// Erasing users: who decides, when it is done, and that it is done also when the relay was down at that time.
@Suite struct ErasureTests {
    private let actor = Actor(uid: 7, operation: "user/erase/apply", subject: "alice", reason: "asked by letter")

    private func apply(_ world: World, _ name: String, grace: Duration?) async throws -> ErasureAccount {
        let plan = try await world.directory.planErasure(named: name, grace: grace)
        return try await world.directory.applyErasure(
            named: name, fingerprint: plan.fingerprint, grace: grace, reason: "asked by letter", actor: actor)
    }

    private func restarted(_ world: World) async throws -> (Store, Directory, Revocations) {
        let store = try Store(path: world.files.file("relay.db"), clock: world.clock, onFailure: { Issue.record("the store failed: \($0)") })
        let revocations = Revocations()
        let directory = try await Directory(
            writer: store.writer, readers: store.readers, clock: world.clock, entropy: SystemEntropy(),
            settings: DirectorySettings(publicURL: "http://127.0.0.1:1"), revocations: revocations)
        return (store, directory, revocations)
    }

    @Test func theGraceEndsByItself() async throws {
        let world = try await World()
        let alice = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let bob = try await world.enrol(try await world.add("bob").code, DeviceSecrets.generate(SystemEntropy()))
        let token = world.directory.tokens.issue(user: alice.user, device: alice.device).token
        #expect(await world.directory.eraseWhatIsDue() == nil)
        let account = try await apply(world, "Alice", grace: nil)
        #expect(account.due == world.clock.now() + Limits.erasureGrace && account.grace == Limits.erasureGrace)
        #expect(throws: DirectoryError.self) { try world.directory.authenticate(bearer: token) }
        #expect(world.revocations.suspendedDevices.withLock { $0 } == [alice.device])
        // In the meantime nothing happens to anybody.
        world.clock.advance(by: Limits.erasureGrace - .milliseconds(1))
        #expect(await world.directory.eraseWhatIsDue() == account.due)
        #expect(try await world.directory.user(named: "alice").user.eraseAt == account.due)
        world.clock.advance(by: .milliseconds(1))
        #expect(await world.directory.eraseWhatIsDue() == nil)
        #expect(world.revocations.devices.withLock { $0 } == [alice.device])
        #expect(!world.directory.isActive(alice.device) && world.directory.isActive(bob.device))
        #expect(try await world.directory.erasures(ofUser: nil).isEmpty)
        let audit = try await world.directory.audit(limit: 10).map(\.actor)
        #expect(audit.first?.operation == "relayd/erase" && audit.first?.subject == "erased:\(alice.user)" && audit.first?.uid == 7)
        #expect(audit.first?.reason == "users 1, invites 1, devices 1, progress 1, audit 3")
        #expect(!audit.contains { $0.subject.contains("alice") } && audit.contains { $0.subject == "bob" || $0.reason == "asked by letter" })
        await world.store.close()
    }

    @Test func aCancelledOneIsBack() async throws {
        let world = try await World()
        let alice = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let token = world.directory.tokens.issue(user: alice.user, device: alice.device).token
        _ = try await apply(world, "alice", grace: .seconds(60))
        await #expect(throws: DirectoryError.self) { try await world.directory.resumeUser(named: "alice", actor: actor) }
        let user = try await world.directory.cancelErasure(named: "alice", actor: actor)
        #expect(user.user.eraseAt == nil && user.devices.map(\.device.id) == [alice.device])
        #expect(try world.directory.authenticate(bearer: token).device == alice.device)
        world.clock.advance(by: .seconds(120))
        #expect(await world.directory.eraseWhatIsDue() == nil)
        #expect(world.directory.isActive(alice.device))
        await #expect(throws: DirectoryError.self) { try await world.directory.cancelErasure(named: "alice", actor: actor) }
        await world.store.close()
    }

    @Test func whatCameDueWhileTheRelayWasDownIsDoneAtItsStart() async throws {
        let world = try await World()
        let alice = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let carol = try await world.enrol(try await world.add("carol").code, DeviceSecrets.generate(SystemEntropy()))
        _ = try await apply(world, "alice", grace: .seconds(60))
        // Another one was under way when the relay was killed.
        let plan = try await world.directory.planErasure(named: "carol", grace: .zero)
        guard
            case .userGone = try await world.store.writer.perform(
                .eraseUser(EraseUser(user: carol.user, fingerprint: plan.fingerprint, grace: .zero, uid: 0)))
        else { throw SupportFailure("carol is not being erased") }
        await world.store.close()
        world.clock.advance(by: .seconds(61))
        let (store, directory, revocations) = try await restarted(world)
        #expect(try await directory.erasures(ofUser: nil).map(\.hasBegun).sorted { $0 && !$1 } == [true, false])
        let timer = Task { await directory.runErasures() }
        while try await !directory.erasures(ofUser: nil).isEmpty { await Task.yield() }
        timer.cancel()
        await timer.value
        #expect(revocations.devices.withLock { $0 } == [alice.device])
        #expect(!directory.isActive(alice.device) && !directory.isActive(carol.device))
        #expect(try await directory.users(after: nil, limit: 10).isEmpty)
        #expect(try await directory.audit(limit: 10).count { $0.actor.operation == "relayd/erase" } == 2)
        await store.close()
    }

    @Test func atOnceGivesTheReport() async throws {
        let world = try await World()
        let alice = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let plan = try await world.directory.planErasure(named: "alice", grace: .zero)
        let account = try await apply(world, "alice", grace: .zero)
        #expect(account.due == nil && account.logEmptied == true && !account.isRecorded)
        var expected = plan.counts
        expected.gone[.audit, default: 0] += 1
        expected.stays[.audit, default: 0] += 1
        expected.gone = expected.gone.filter { $0.value > 0 }
        expected.stays = expected.stays.filter { $0.value > 0 }
        var counts = account.counts
        counts.stays = counts.stays.filter { $0.value > 0 }
        #expect(counts == expected && counts.gone[.devices] == 1)
        #expect(!world.directory.isActive(alice.device))
        // The name is free again.
        _ = try await world.add("alice")
        await world.store.close()
    }

    @Test func badInputIsRefused() async throws {
        let world = try await World()
        _ = try await world.directory.addUser(name: "alice", displayName: "Alice B.", avatar: nil, inviteLifetime: nil, actor: world.actor)
        let plan = try await world.directory.planErasure(named: "alice", grace: .zero)
        func refusal(_ name: String = "alice", fingerprint: UInt64? = nil, grace: Duration = .zero, reason: String = "why") async -> String {
            do {
                _ = try await world.directory.applyErasure(
                    named: name, fingerprint: fingerprint ?? plan.fingerprint, grace: grace, reason: reason, actor: actor)
                return "nothing"
            } catch { return String(describing: error) }
        }
        #expect(await refusal("bob").contains("userUnknown"))
        #expect(await refusal("no body").contains("invalidName"))
        #expect(await refusal(fingerprint: plan.fingerprint &+ 1).contains("planOutdated"))
        #expect(await refusal(grace: .seconds(5)).contains("planOutdated"))
        #expect(await refusal(grace: .seconds(-5)).contains("invalid"))
        #expect(await refusal(grace: Limits.erasureGraceCeiling + .seconds(1)).contains("365 days"))
        for reason in ["ALICE left", "as Alice B. asked", "", "\u{1B}[2J", String(repeating: "x", count: 300)] {
            #expect(await refusal(reason: reason).contains("the reason"), "\(reason)")
        }
        #expect(try await world.directory.user(named: "alice").user.eraseAt == nil)
        #expect(try await world.directory.audit(limit: 10).map(\.actor.operation) == ["user/add"])
        await world.store.close()
    }
}

extension ErasureTests {
    /// Who reads holds up the log; nothing is called erased before it is empty.
    @Test(.timeLimit(.minutes(10))) func aReaderHoldsUpTheEndOfIt() async throws {
        let world = try await World()
        let alice = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let (reads, isReading) = AsyncStream.makeStream(of: Void.self)
        let enough = DispatchSemaphore(value: 0)
        world.store.readers.read(
            { reader in
                try reader.snapshot {
                    _ = try reader.user(alice.user)
                    isReading.finish()
                    enough.wait()
                }
            }, completion: { _ in })
        for await _ in reads {}
        let account = try await apply(world, "alice", grace: .zero)
        #expect(account.due == nil && account.logEmptied == false && account.counts.gone[.devices] == 1)
        #expect(!world.directory.isActive(alice.device))
        #expect(try await world.directory.erasures(ofUser: nil).map(\.hasBegun) == [true])
        #expect(try await !world.directory.audit(limit: 10).contains { $0.actor.operation == "relayd/erase" })
        enough.signal()
        // The round a minute later.
        while try await !world.directory.erasures(ofUser: nil).isEmpty { _ = await world.directory.eraseWhatIsDue() }
        #expect(try await world.directory.audit(limit: 10).count { $0.actor.operation == "relayd/erase" } == 1)
        await world.store.close()
    }
}
