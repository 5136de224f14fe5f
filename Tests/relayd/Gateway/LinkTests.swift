import Foundation
import NIOHTTP1
import NIOPosix
import RelayCrypto
import RelayDirectory
import RelayHTTP
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayGateway

/// Linking over real sockets.
@Suite struct LinkTests {
    private static let id = [UInt8](1...16)
    private static let path = "/v1/links/" + CrockfordBase32.encode(id, group: .max)
    private static let claim = "Link " + CrockfordBase32.encode([UInt8](21...36), group: .max)
    private static let otherClaim = "Link " + CrockfordBase32.encode([UInt8](41...56), group: .max)

    /// The new device, with a connection of its own.
    private struct NewDevice {
        let http: HTTPClient
        let authorization: String

        init(_ relay: RunningGateway, _ authorization: String = LinkTests.claim) {
            http = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: relay.port), group: MultiThreadedEventLoopGroup.singleton)
            self.authorization = authorization
        }

        func call<Reply: Message>(_ method: HTTPMethod, _ rest: String, _ body: (any Message)? = nil, as: Reply.Type = Reply.self) async throws
            -> Reply
        {
            let reply = try await http.request(
                method, LinkTests.path + rest, headers: [("Content-Type", "application/json"), ("Authorization", authorization)],
                body: try body.map { try $0.jsonUTF8Bytes() })
            guard (200..<300).contains(reply.status) else {
                throw RunningGateway.Failure(status: reply.status, error: try Relay_V1_Error(jsonUTF8Bytes: reply.body))
            }
            return try Reply(jsonUTF8Bytes: reply.body)
        }

        func hello(_ bytes: [UInt8] = [1, 2, 3]) async throws -> Relay_V1_LinkReply { try await call(.POST, "/hello", LinkTests.sealed(bytes)) }
    }

    private static func sealed(_ bytes: [UInt8]) -> Relay_V1_LinkSealed {
        var wire = Relay_V1_LinkSealed()
        wire.sealed = Data(bytes)
        return wire
    }

    private func open(_ relay: RunningGateway, _ device: RunningGateway.Device, _ id: [UInt8] = LinkTests.id) async throws {
        var request = Relay_V1_LinkRequest()
        request.linkID = Data(id)
        let reply: Relay_V1_LinkReply = try await relay.call(.POST, "/v1/links", request, token: device.token)
        #expect(reply.expiresAtMs == (relay.clock.now() + Limits.linkLifetime).milliseconds)
    }

    private func approval(_ secrets: DeviceSecrets, _ name: String = "laptop") -> Relay_V1_LinkApproval {
        var approval = Relay_V1_LinkApproval()
        let keys = secrets.publicKeys
        approval.deviceName = name
        approval.keys.identityKey = Data(keys.identityKey)
        approval.keys.agreementKey = Data(keys.agreementKey)
        approval.keys.agreementSignature = Data(keys.agreementSignature)
        return approval
    }

    private func old<Reply: Message>(
        _ relay: RunningGateway, _ device: RunningGateway.Device, _ method: HTTPMethod, _ rest: String, _ body: (any Message)? = nil,
        as: Reply.Type = Reply.self
    ) async throws -> Reply { try await relay.call(method, Self.path + rest, body, token: device.token) }

    private func refusal(_ body: () async throws -> Void) async -> String {
        do {
            try await body()
            return "taken"
        } catch let failure as RunningGateway.Failure {
            #expect(failure.status == ErrorCode(rawValue: failure.error.code)?.httpStatus)
            #expect(!failure.error.hint.isEmpty)
            return failure.error.code
        } catch { return "\(error)" }
    }

    /// Up to where the new device may be approved.
    private func answered(_ relay: RunningGateway, _ device: RunningGateway.Device, _ new: NewDevice) async throws {
        try await open(relay, device)
        _ = try await new.hello()
        let _: Relay_V1_LinkSealed = try await old(relay, device, .PUT, "/answer", Self.sealed([4, 5]))
    }

    @Test(.timeLimit(.minutes(10))) func twoDevicesMeet() async throws {
        try await RunningGateway.run(.asking, linkWait: .seconds(300)) { relay, _ in
            let (alice, bob) = (try await relay.addUser("alice"), try await relay.addUser("bob"))
            let path = "/v1/connection/user/"
            let _: Relay_V1_Contact = try await relay.call(.POST, path + "\(alice.user)/recipient/\(bob.user)", token: alice.token)
            let _: Relay_V1_Contact = try await relay.call(.PUT, path + "\(bob.user)/recipient/\(alice.user)/request/true", token: bob.token)
            let stream = try await relay.connect(bob)
            let new = NewDevice(relay)
            try await open(relay, alice)

            async let hello: Relay_V1_LinkSealed = old(relay, alice, .GET, "/hello")
            #expect(try await !new.hello().resumed)
            #expect(Array(try await hello.sealed) == [1, 2, 3])
            async let answer: Relay_V1_LinkSealed = new.call(.GET, "/answer")
            let _: Relay_V1_LinkSealed = try await old(relay, alice, .PUT, "/answer", Self.sealed([4, 5]))
            #expect(Array(try await answer.sealed) == [4, 5])

            let secrets = DeviceSecrets.generate(SystemEntropy())
            async let added: Relay_V1_EnrolReply = new.call(.GET, "/approval")
            let approved: Relay_V1_EnrolReply = try await old(relay, alice, .POST, "/approval", approval(secrets))
            let told = try await added
            #expect(told == approved && told.userID == alice.user.rawValue && told.userName == "alice")
            // Bob hears of it as of any new device.
            let frame = try await stream.frame { !$0.keyChange.changed.isEmpty }
            #expect(frame.keyChange.userID == alice.user.rawValue && frame.keyChange.changed == [.deviceEnrolled])
            #expect(frame.keyChange.device.deviceID == told.deviceID && Array(frame.keyChange.device.keys.identityKey) == secrets.identityKey)
            // It signs in like any device.
            let laptop = RunningGateway.Device(user: alice.user, id: DeviceID(told.deviceID), secrets: secrets, token: "")
            #expect(try await !relay.token(laptop).isEmpty)
            #expect(try await relay.directory.audit(limit: 1).first?.actor.operation == "relayd/link")
            // Approved once more: the same device.
            let again: Relay_V1_EnrolReply = try await old(relay, alice, .POST, "/approval", approval(secrets))
            #expect(again == approved)
            #expect(try await relay.directory.userWithDevices(alice.user).devices.count == 2)

            for number in 0..<Limits.linkPartsHeld {
                let progress: Relay_V1_LinkProgress = try await old(relay, alice, .PUT, "/parts/\(number)", Self.sealed([UInt8(number)]))
                #expect(progress.nextPart == UInt32(number + 1))
            }
            // The next one waits for room.
            async let fifth: Relay_V1_LinkProgress = old(relay, alice, .PUT, "/parts/4", Self.sealed([4]))
            for number in 0...4 {
                let part: Relay_V1_LinkSealed = try await new.call(.GET, "/parts/\(number)")
                #expect(Array(part.sealed) == [UInt8(number)])
            }
            #expect(try await fifth.nextPart == 5)
            async let receipt: Relay_V1_LinkSealed = old(relay, alice, .GET, "/receipt")
            let _: Relay_V1_LinkSealed = try await new.call(.POST, "/receipt", Self.sealed([9]))
            #expect(Array(try await receipt.sealed) == [9])
            let _: Relay_V1_LinkSealed = try await old(relay, alice, .DELETE, "")
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await new.call(.GET, "/parts/5") } == "link_ended")
            let late: Relay_V1_EnrolReply = try await new.call(.GET, "/approval")
            #expect(late == approved)
            await new.http.close()
        }
    }

    @Test(.timeLimit(.minutes(10))) func whoHasNoBusinessHereLearnsNothing() async throws {
        try await RunningGateway.run(linkWait: .milliseconds(5)) { relay, _ in
            let (alice, bob) = (try await relay.addUser("alice"), try await relay.addUser("bob"))
            let (new, second) = (NewDevice(relay), NewDevice(relay, Self.otherClaim))
            #expect(await refusal { _ = try await new.hello() } == "link_unknown")
            try await open(relay, alice)
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await new.call(.GET, "/answer") } == "link_not_ready")
            _ = try await new.hello()
            // Not yet.
            #expect(try await new.call(.GET, "/answer", as: Relay_V1_LinkSealed.self).sealed.isEmpty)
            #expect(try await new.call(.GET, "/approval", as: Relay_V1_EnrolReply.self).deviceID == 0)
            // The second one is told; what it sends changes nothing.
            #expect(await refusal { _ = try await second.hello([6, 6]) } == "link_used")
            for rest in ["/answer", "/approval", "/parts/0"] {
                #expect(await refusal { let _: Relay_V1_LinkSealed = try await second.call(.GET, rest) } == "link_used")
            }
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await second.call(.POST, "/receipt", Self.sealed([1])) } == "link_used")
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await second.call(.DELETE, "") } == "link_used")
            #expect(try await new.hello([7]).resumed)
            // Another user, and another device of the same user.
            let invite = try await relay.directory.createInvite(
                user: "alice", lifetime: nil, actor: Actor(uid: 0, operation: "invite/create", subject: "alice"))
            for device in [bob, try await relay.enrol(invite.code)] {
                #expect(await refusal { let _: Relay_V1_LinkSealed = try await old(relay, device, .GET, "/hello") } == "link_unknown")
                #expect(
                    await refusal { let _: Relay_V1_LinkSealed = try await old(relay, device, .PUT, "/answer", Self.sealed([1])) } == "link_unknown")
                #expect(
                    await refusal {
                        let _: Relay_V1_EnrolReply = try await old(
                            relay, device, .POST, "/approval", approval(DeviceSecrets.generate(SystemEntropy())))
                    } == "link_unknown")
                #expect(await refusal { let _: Relay_V1_LinkSealed = try await old(relay, device, .DELETE, "") } == "link_unknown")
                #expect(await refusal { try await open(relay, device) } == "link_used")
            }
            let hello: Relay_V1_LinkSealed = try await old(relay, alice, .GET, "/hello")
            #expect(Array(hello.sealed) == [1, 2, 3])
            // Nobody without a word of their own.
            let bare = NewDevice(relay, "Link nonsense")
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await bare.call(.GET, "/answer") } == "unauthorized")
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await relay.call(.DELETE, Self.path) } == "unauthorized")
            for client in [new, second, bare] { await client.http.close() }
        }
    }

    @Test(.timeLimit(.minutes(10))) func badInputIsRefused() async throws {
        try await RunningGateway.run(linkWait: .milliseconds(5)) { relay, _ in
            let alice = try await relay.addUser("alice")
            let new = NewDevice(relay)
            for length in [0, 15, 17, 1000] {
                #expect(await refusal { try await open(relay, alice, [UInt8](repeating: 1, count: length)) } == "malformed")
            }
            for id in ["x", "0000", "%00", String(repeating: "0", count: 27)] {
                #expect(
                    await refusal { let _: Relay_V1_LinkSealed = try await relay.call(.GET, "/v1/links/\(id)/hello", token: alice.token) }
                        == "malformed")
            }
            try await open(relay, alice)
            #expect(await refusal { _ = try await new.hello([]) } == "malformed")
            #expect(await refusal { _ = try await new.hello([UInt8](repeating: 1, count: Limits.linkMessageBytes + 1)) } == "malformed")
            #expect(await refusal { _ = try await new.hello([UInt8](repeating: 1, count: Limits.restBodyBytes)) } == "too_large")
            _ = try await new.hello([UInt8](repeating: 1, count: Limits.linkMessageBytes))
            let secrets = DeviceSecrets.generate(SystemEntropy())
            func approve(_ approval: Relay_V1_LinkApproval) async -> String {
                await refusal { let _: Relay_V1_EnrolReply = try await old(relay, alice, .POST, "/approval", approval) }
            }
            #expect(await approve(approval(secrets)) == "link_not_ready")
            let _: Relay_V1_LinkSealed = try await old(relay, alice, .PUT, "/answer", Self.sealed([4]))
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await old(relay, alice, .PUT, "/answer", Self.sealed([5])) } == "link_used")
            #expect(await approve(approval(secrets, "")) == "malformed")
            #expect(await approve(approval(secrets, "a\u{7}b")) == "malformed")
            var wrong = approval(secrets)
            wrong.keys.agreementKey = Data(DeviceSecrets.generate(SystemEntropy()).agreementKey)
            #expect(await approve(wrong) == "signature_invalid")
            var prekeys = approval(secrets)
            prekeys.keys.signedPrekey.id = 1
            #expect(await approve(prekeys) == "malformed")
            #expect(
                await refusal { let _: Relay_V1_LinkProgress = try await old(relay, alice, .PUT, "/parts/0", Self.sealed([1])) } == "link_not_ready")
            #expect(await approve(approval(secrets)) == "taken")
            #expect(await approve(approval(DeviceSecrets.generate(SystemEntropy()))) == "link_used")
            #expect(try await relay.directory.userWithDevices(alice.user).devices.count == 2)
            for (number, bytes) in [("1", 1), ("0", 0), ("0", Limits.linkPartBytes + 1), ("-1", 1), ("x", 1), ("4294967296", 1)] {
                #expect(
                    await refusal {
                        let _: Relay_V1_LinkProgress = try await old(
                            relay, alice, .PUT, "/parts/\(number)", Self.sealed([UInt8](repeating: 1, count: bytes)))
                    } == "malformed", "part \(number) of \(bytes) bytes")
            }
            #expect(
                await refusal {
                    let _: Relay_V1_LinkProgress = try await old(
                        relay, alice, .PUT, "/parts/0", Self.sealed([UInt8](repeating: 1, count: 2 * Limits.linkPartBytes)))
                } == "too_large")
            // The largest one, and one for which there is no room.
            for number in 0...Limits.linkPartsHeld {
                let progress: Relay_V1_LinkProgress = try await old(
                    relay, alice, .PUT, "/parts/\(number)", Self.sealed([UInt8](repeating: 1, count: Limits.linkPartBytes)))
                #expect(progress.nextPart == UInt32(min(number + 1, Limits.linkPartsHeld)))
            }
            await new.http.close()
        }
    }

    @Test(.timeLimit(.minutes(10))) func whoMayNotIsNotAdded() async throws {
        try await RunningGateway.run(linkWait: .milliseconds(5)) { relay, _ in
            let actor = Actor(uid: 0, operation: "test", subject: "alice")
            let alice = try await relay.addUser("alice")
            for _ in 1..<Limits.devicesPerUser {
                _ = try await relay.enrol(try await relay.directory.createInvite(user: "alice", lifetime: nil, actor: actor).code)
            }
            let new = NewDevice(relay)
            try await answered(relay, alice, new)
            let secrets = DeviceSecrets.generate(SystemEntropy())
            func approve() async -> String {
                await refusal { let _: Relay_V1_EnrolReply = try await old(relay, alice, .POST, "/approval", approval(secrets)) }
            }
            #expect(await approve() == "device_limit")
            // One goes, and the same link goes on.
            let other = try #require(try await relay.directory.userWithDevices(alice.user).devices.last)
            _ = try await relay.directory.revokeDevice(other.id, actor: actor)
            _ = try await relay.directory.suspendUser(named: "alice", reason: "test", actor: actor)
            #expect(await approve() == "user_suspended")
            _ = try await relay.directory.resumeUser(named: "alice", actor: actor)
            _ = try await relay.directory.revokeDevice(alice.id, actor: actor)
            #expect(await approve() == "device_revoked")
            #expect(await refusal { let _: Relay_V1_EnrolReply = try await new.call(.GET, "/approval") } == "link_ended")
            #expect(try await relay.directory.userWithDevices(alice.user).devices.count == Limits.devicesPerUser - 2)
            await new.http.close()
        }
    }

    @Test(.timeLimit(.minutes(10))) func timeAndStopsEndIt() async throws {
        try await RunningGateway.run(linkWait: .seconds(300)) { relay, stop in
            let alice = try await relay.addUser("alice")
            let new = NewDevice(relay)
            try await open(relay, alice)
            relay.clock.advance(by: Limits.linkLifetime)
            #expect(await refusal { _ = try await new.hello() } == "link_expired")
            #expect(await refusal { let _: Relay_V1_LinkSealed = try await old(relay, alice, .GET, "/hello") } == "link_expired")
            let other = [UInt8](2...17)
            let token = try await relay.token(alice)
            var request = Relay_V1_LinkRequest()
            request.linkID = Data(other)
            let _: Relay_V1_LinkReply = try await relay.call(.POST, "/v1/links", request, token: token)
            // Whoever waits does not hold up the stop.
            async let waiting = refusal {
                let _: Relay_V1_LinkSealed = try await relay.call(
                    .GET, "/v1/links/\(CrockfordBase32.encode(other, group: .max))/hello", token: token)
            }
            await stop()
            let answer = await waiting
            #expect(answer == "restarting" || answer.contains("closed") || answer.contains("connect"), "\(answer)")
            await new.http.close()
        }
    }

    @Test(.timeLimit(.minutes(10))) func aDeviceFindsOutWhetherItWasAdded() async throws {
        try await RunningGateway.run(linkWait: .milliseconds(5)) { relay, _ in
            let alice = try await relay.addUser("alice")
            let new = NewDevice(relay)
            try await answered(relay, alice, new)
            let secrets = DeviceSecrets.generate(SystemEntropy())
            func ask(_ user: UserID, signed: UserID? = nil, by: DeviceSecrets? = nil) async throws -> Relay_V1_EnrolReply {
                var request = Relay_V1_LinkedDeviceRequest()
                request.userID = user.rawValue
                request.identityKey = Data(secrets.identityKey)
                request.signature = Data((by ?? secrets).sign(Signing.linkedMessage(user: signed ?? user)))
                return try await relay.call(.POST, "/v1/links/device", request)
            }
            #expect(await refusal { _ = try await ask(alice.user) } == "link_unknown")
            let added: Relay_V1_EnrolReply = try await old(relay, alice, .POST, "/approval", approval(secrets))
            #expect(try await ask(alice.user) == added)
            #expect(await refusal { _ = try await ask(alice.user, by: alice.secrets) } == "signature_invalid")
            #expect(await refusal { _ = try await ask(alice.user, signed: UserID(1)) } == "signature_invalid")
            #expect(await refusal { _ = try await ask(UserID(1)) } == "link_unknown")
            #expect(await refusal { _ = try await ask(UserID(0)) } == "malformed")
            await new.http.close()
        }
    }

    @Test(.timeLimit(.minutes(10))) func guessingIsSlow() async throws {
        let clock = ManualMonotonicClock(1 << 40)
        try await RunningGateway.run(
            linkWait: .milliseconds(5),
            { settings in
                settings.monotonicClock = clock
                settings.rates.limitLoopback = true
                settings.rates.signInsPerAddress = 1
            }
        ) { relay, _ in
            let new = NewDevice(relay)
            var codes: Set<String> = []
            for _ in 0...Limits.burstSeconds { codes.insert(await refusal { _ = try await new.hello() }) }
            #expect(codes == ["link_unknown", "rate_limited"])
            await new.http.close()
        }
    }
}
