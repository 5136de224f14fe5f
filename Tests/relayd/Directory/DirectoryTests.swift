import RelayCrypto
import RelayModel
import RelayStorage
import RelayTestSupport
import Synchronization
import Testing

@testable import RelayDirectory

final class Revocations: RevocationListener {
    let patience = Duration.zero
    let devices = Mutex<[DeviceID]>([])
    let suspendedDevices = Mutex<[DeviceID]>([])
    func revoked(_ devices: [DeviceID]) { self.devices.withLock { $0 += devices } }
    func suspended(_ devices: [DeviceID]) { suspendedDevices.withLock { $0 += devices } }
    // No connections, so nobody is told.
    func committed(_ batch: [Committed], since: Int64) {}
    func failed() {}
}

struct World {
    let files: TemporaryDirectory
    let store: Store
    let clock = ManualWallClock(Timestamp(milliseconds: 1_790_000_000_000))
    let revocations = Revocations()
    let directory: Directory
    let actor = Actor(uid: 0, operation: "user/add", subject: "alice")

    init(devicesPerUser: Int = 5) async throws {
        files = try TemporaryDirectory()
        store = try Store(path: files.file("relay.db"), clock: clock, onFailure: { Issue.record("the store failed: \($0)") })
        var settings = DirectorySettings(publicURL: "http://127.0.0.1:1")
        settings.devicesPerUser = devicesPerUser
        directory = try await Directory(
            writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: settings, revocations: revocations)
    }

    func add(_ name: String) async throws -> IssuedInvite {
        try await directory.addUser(name: name, displayName: nil, avatar: nil, inviteLifetime: nil, actor: actor).invite
    }

    func enrol(_ code: String, _ secrets: DeviceSecrets) async throws -> Enrolled {
        try await directory.enrol(code: code, deviceName: "phone", keys: World.keys(of: secrets))
    }

    static func keys(of secrets: DeviceSecrets) -> DeviceKeySet {
        let keys = secrets.publicKeys
        return DeviceKeySet(identityKey: keys.identityKey, agreementKey: keys.agreementKey, agreementSignature: keys.agreementSignature)
    }
}

private func code(of error: any Error) -> String { String(describing: error) }

@Suite struct DirectoryTests {
    @Test func aDeviceEnrolsAndSignsIn() async throws {
        let world = try await World()
        let invite = try await world.add("Alice")
        #expect(invite.link == "http://127.0.0.1:1/enrol#\(invite.code)")
        let secrets = DeviceSecrets.generate(SystemEntropy())
        // People type in any case, and O for 0.
        let enrolled = try await world.enrol(invite.code.lowercased().replacing("0", with: "o").replacing("-", with: " "), secrets)
        #expect(enrolled.userName.text == "alice")
        let challenge = world.directory.challenge(for: enrolled.device)
        let signature = secrets.sign(Signing.authenticationMessage(device: enrolled.device, challenge: challenge.bytes))
        let token = try await world.directory.token(device: enrolled.device, challenge: challenge.bytes, signature: signature)
        let principal = try world.directory.authenticate(bearer: token.token)
        #expect(principal.user == enrolled.user)
        #expect(principal.device == enrolled.device)

        world.clock.advance(by: .seconds(15 * 60))
        #expect { try world.directory.authenticate(bearer: token.token) } throws: { code(of: $0) == "tokenExpired" }
        await world.store.close()
    }

    /// While devices enrol, ask again and are linked, operators revoke them and remove their users: who is active in memory is who is active on the disk.
    @Test func memoryFollowsTheDisk() async throws {
        let world = try await World()
        for round in 0..<40 {
            let name = "user\(round)"
            let invites = [
                try await world.add(name), try await world.directory.createInvite(user: name, lifetime: nil, actor: world.actor),
                try await world.directory.createInvite(user: name, lifetime: nil, actor: world.actor),
            ]
            let secrets = (0..<3).map { _ in DeviceSecrets.generate(SystemEntropy()) }
            let first = try await world.enrol(invites[0].code, secrets[0])
            var seen = [first.device]
            await withTaskGroup(of: DeviceID?.self) { tasks in
                for _ in 0..<4 {
                    tasks.addTask { try? await world.enrol(invites[0].code, secrets[0]).device }
                }
                if round % 2 == 0 {
                    tasks.addTask { try? await world.directory.revokeDevice(first.device, actor: world.actor).device.id }
                } else {
                    tasks.addTask {
                        _ = try? await world.directory.removeUser(named: name, actor: world.actor)
                        return nil
                    }
                }
                for (invite, secrets) in zip(invites, secrets).dropFirst() {
                    tasks.addTask { try? await world.enrol(invite.code, secrets).device }
                }
                for await device in tasks { if let device { seen.append(device) } }
            }
            for device in Set(seen) {
                let isOnDisk = try await world.store.readers.read { try $0.device(device) != nil }
                #expect(world.directory.isActive(device) == isOnDisk, "round \(round)")
            }
        }
        await world.store.close()
    }

    @Test func aForgedTokenIsRefused() async throws {
        let world = try await World()
        let enrolled = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let token = world.directory.tokens.issue(user: enrolled.user, device: enrolled.device).token
        let seed: UInt64 = 7
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            var characters = Array(token)
            let index = Int.random(in: 0..<characters.count, using: &generator)
            characters[index] = characters[index] == "A" ? "B" : "A"
            #expect(throws: DirectoryError.self, "seed \(seed)") { try world.directory.authenticate(bearer: String(characters)) }
        }
        for bad in ["", "x", "Bearer", String(repeating: "A", count: 10_000), token + "A", String(token.dropLast())] {
            #expect(throws: DirectoryError.self) { try world.directory.authenticate(bearer: bad) }
        }
        await world.store.close()
    }

    @Test func aWrongSignatureAndAnOldChallengeAreRefused() async throws {
        let world = try await World()
        let secrets = DeviceSecrets.generate(SystemEntropy())
        let enrolled = try await world.enrol(try await world.add("alice").code, secrets)
        let challenge = world.directory.challenge(for: enrolled.device).bytes
        let good = secrets.sign(Signing.authenticationMessage(device: enrolled.device, challenge: challenge))
        await #expect { try await world.directory.token(device: enrolled.device, challenge: challenge, signature: good.reversed()) } throws: {
            code(of: $0) == "signatureInvalid"
        }
        await #expect { try await world.directory.token(device: DeviceID(5), challenge: challenge, signature: good) } throws: {
            code(of: $0) == "challengeExpired"
        }
        world.clock.advance(by: .seconds(60))
        await #expect { try await world.directory.token(device: enrolled.device, challenge: challenge, signature: good) } throws: {
            code(of: $0) == "challengeExpired"
        }
        await world.store.close()
    }

    @Test func enrolmentChecksTheAgreementSignature() async throws {
        let world = try await World()
        let invite = try await world.add("alice")
        var keys = World.keys(of: DeviceSecrets.generate(SystemEntropy()))
        keys.agreementKey = DeviceSecrets.generate(SystemEntropy()).publicKeys.agreementKey
        await #expect { try await world.directory.enrol(code: invite.code, deviceName: "phone", keys: keys) } throws: {
            code(of: $0) == "signatureInvalid"
        }
        // The invite was not spent on it.
        _ = try await world.enrol(invite.code, DeviceSecrets.generate(SystemEntropy()))
        await world.store.close()
    }

    @Test func aRevokedDeviceLosesItsTokenAtOnce() async throws {
        let world = try await World()
        let enrolled = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let token = world.directory.tokens.issue(user: enrolled.user, device: enrolled.device).token
        _ = try await world.directory.revokeDevice(enrolled.device, actor: world.actor)
        #expect { try world.directory.authenticate(bearer: token) } throws: { code(of: $0) == "deviceRevoked" }
        #expect(world.revocations.devices.withLock { $0 } == [enrolled.device])
        await world.store.close()
    }

    @Test func aSuspendedUserIsRefusedUntilResumed() async throws {
        let world = try await World()
        let secrets = DeviceSecrets.generate(SystemEntropy())
        let enrolled = try await world.enrol(try await world.add("alice").code, secrets)
        let token = world.directory.tokens.issue(user: enrolled.user, device: enrolled.device).token
        let suspended = try await world.directory.suspendUser(named: "Alice", reason: "looked at", actor: world.actor)
        #expect(suspended.user.suspension?.reason == "looked at" && suspended.user.suspension?.since == world.clock.now())
        #expect(world.revocations.suspendedDevices.withLock { $0 } == [enrolled.device])
        #expect { try world.directory.authenticate(bearer: token) } throws: { code(of: $0) == "userSuspended" }
        let challenge = world.directory.challenge(for: enrolled.device).bytes
        let signature = secrets.sign(Signing.authenticationMessage(device: enrolled.device, challenge: challenge))
        await #expect { try await world.directory.token(device: enrolled.device, challenge: challenge, signature: signature) } throws: {
            code(of: $0) == "userSuspended"
        }
        // Somebody else's signature learns nothing.
        await #expect { try await world.directory.token(device: enrolled.device, challenge: challenge, signature: signature.reversed()) } throws: {
            code(of: $0) == "signatureInvalid"
        }

        // A second time it is suspended since the first.
        world.clock.advance(by: .seconds(60))
        let again = try await world.directory.suspendUser(named: "alice", reason: "looked at twice", actor: world.actor)
        #expect(again.user.suspension?.since == suspended.user.suspension?.since && again.user.suspension?.reason == "looked at twice")

        // It is on the disk, and a directory that begins knows it.
        let next = try await Directory(
            writer: world.store.writer, readers: world.store.readers, clock: world.clock, entropy: SystemEntropy(),
            settings: DirectorySettings(publicURL: ""), revocations: world.revocations)
        #expect(next.refusal(of: enrolled.device).map { code(of: $0) } == "userSuspended")

        let resumed = try await world.directory.resumeUser(named: "alice", actor: world.actor)
        #expect(resumed.user.suspension == nil)
        #expect(try world.directory.authenticate(bearer: token).device == enrolled.device)
        await #expect { try await world.directory.suspendUser(named: "nobody", reason: "x", actor: world.actor) } throws: {
            code(of: $0).contains("userUnknown")
        }
        await #expect { try await world.directory.suspendUser(named: "alice", reason: "", actor: world.actor) } throws: {
            code(of: $0).contains("the reason is empty")
        }
        await world.store.close()
    }

    @Test func theRelaySuspendsByItselfOnce() async throws {
        let world = try await World()
        let enrolled = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        await world.directory.suspendByItself(enrolled.user, reason: "too many")
        await world.directory.suspendByItself(enrolled.user, reason: "too many")
        await world.directory.suspendByItself(UserID(5), reason: "too many")
        #expect(try await world.directory.audit(limit: 10).map(\.actor.operation) == ["relayd/suspend", "user/add"])
        #expect(try await world.directory.user(named: "alice").user.suspension?.reason == "too many")
        await world.store.close()
    }

    @Test func whoHasNoLimitsIsKnownAfterARestart() async throws {
        let world = try await World()
        let added = try await world.directory.addUser(
            name: "bot", displayName: nil, avatar: nil, inviteLifetime: nil, noLimits: true, actor: world.actor)
        let bot = try await world.enrol(added.invite.code, DeviceSecrets.generate(SystemEntropy()))
        let other = try await world.enrol(try await world.add("alice").code, DeviceSecrets.generate(SystemEntropy()))
        let next = try await Directory(
            writer: world.store.writer, readers: world.store.readers, clock: world.clock, entropy: SystemEntropy(),
            settings: DirectorySettings(publicURL: ""), revocations: world.revocations)
        for directory in [world.directory, next] {
            func principal(_ enrolled: Enrolled) throws -> Principal {
                try directory.authenticate(bearer: directory.tokens.issue(user: enrolled.user, device: enrolled.device).token)
            }
            #expect(try principal(bot).noLimits)
            #expect(try !principal(other).noLimits)
        }
        await world.store.close()
    }

    @Test func namesAreUniqueWhateverTheirSpelling() async throws {
        let world = try await World()
        _ = try await world.add("Straße")
        await #expect { try await world.add("STRASSE") } throws: { code(of: $0).contains("userNameTaken") }
        await #expect { try await world.add("a b") } throws: { code(of: $0).contains("invalidName") }
        await world.store.close()
    }

    @Test func changesAreAuditedAndRefusedOnesAreNot() async throws {
        let world = try await World()
        _ = try await world.add("alice")
        _ = try? await world.add("alice")
        let entries = try await world.directory.audit(limit: 10)
        #expect(entries.map(\.actor.operation) == ["user/add"])
        await world.store.close()
    }

    @Test func anInviteCodeIsReadBack() {
        for _ in 0..<200 {
            let made = InviteCode(entropy: SystemEntropy())
            #expect(InviteCode(made.text)?.bytes == made.bytes)
        }
        for bad in ["", "U", "AAAAA", String(repeating: "Z", count: 26), String(repeating: "0", count: 27), "é"] {
            #expect(InviteCode(bad) == nil, "\(bad)")
        }
    }

    @Test func base64URLIsReadBack() {
        for count in 0..<70 {
            let bytes = SystemEntropy().bytes(count)
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
        #expect(Base64URL.decode("A") == nil)
        #expect(Base64URL.decode("AB=") == nil)
    }
}
