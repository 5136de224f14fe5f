import Foundation
import NIOHTTP1
import RelayCrypto
import RelayDirectory
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf
import RelayTestSupport
import Testing

@testable import RelayGateway

/// A public key like those that devices make.
private func publicKey() -> [UInt8] { DeviceSecrets.generate(SystemEntropy()).agreementKey }

private func signedPrekey(_ kind: Signing.PrekeyKind, _ id: UInt64, _ device: RunningGateway.Device, as other: DeviceID? = nil)
    -> Relay_V1_SignedPrekey
{
    var prekey = Relay_V1_SignedPrekey()
    let key = publicKey()
    prekey.id = id
    prekey.key = Data(key)
    prekey.signature = Data(device.secrets.sign(Signing.prekeyMessage(kind, device: other ?? device.id, id: id, key: key)))
    return prekey
}

private func oneTime(_ ids: ClosedRange<UInt64>) -> [Relay_V1_OneTimePrekey] {
    ids.map { id in
        var prekey = Relay_V1_OneTimePrekey()
        prekey.id = id
        prekey.key = Data(publicKey())
        return prekey
    }
}

private func newAgreement(_ device: RunningGateway.Device) -> Relay_V1_KeysUpload {
    var upload = Relay_V1_KeysUpload()
    let key = publicKey()
    upload.agreementKey = Data(key)
    upload.agreementSignature = Data(device.secrets.sign(Signing.agreementMessage(agreementKey: key)))
    return upload
}

extension RunningGateway {
    @discardableResult
    fileprivate func upload(_ upload: Relay_V1_KeysUpload, _ device: Device, as path: DeviceID? = nil) async throws -> Relay_V1_KeysState {
        try await call(.PUT, "/v1/devices/\(path ?? device.id)/keys", upload, token: device.token)
    }

    fileprivate func prekeys(of user: UserID, for device: Device) async throws -> Relay_V1_User {
        try await call(.POST, "/v1/users/\(user)/prekeys", token: device.token)
    }

    /// The code with which a request is refused.
    fileprivate func refusal<Reply>(_ request: () async throws -> Reply) async throws -> String {
        do { _ = try await request() } catch let failure as Failure { return failure.error.code }
        return "none"
    }

    fileprivate func befriend(_ one: Device, _ other: Device) async throws {
        for (user, peer) in [(one, other), (other, one)] {
            let _: Relay_V1_Contact = try await call(
                .POST, "/v1/connection/user/\(user.user)/recipient/\(peer.user)", Relay_V1_ContactRequest(), token: user.token)
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct KeyTests {
    @Test func signaturesAreChecked() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            func refused(_ change: (inout Relay_V1_KeysUpload) -> Void) async throws -> String {
                var upload = newAgreement(alice)
                upload.signedPrekey = signedPrekey(.signed, 1, alice)
                upload.lastResortPrekey = signedPrekey(.lastResort, 1, alice)
                upload.oneTimePrekeys = oneTime(1...3)
                change(&upload)
                return try await relay.refusal { try await relay.upload(upload, alice) }
            }
            // Another device's signature, another device's id, another id, another purpose, another key.
            #expect(try await refused { $0.signedPrekey = signedPrekey(.signed, 1, bob, as: alice.id) } == "signature_invalid")
            #expect(try await refused { $0.signedPrekey = signedPrekey(.signed, 1, alice, as: bob.id) } == "signature_invalid")
            #expect(try await refused { $0.signedPrekey.id = 2 } == "signature_invalid")
            #expect(try await refused { $0.signedPrekey = signedPrekey(.lastResort, 1, alice) } == "signature_invalid")
            #expect(try await refused { $0.lastResortPrekey = signedPrekey(.signed, 1, alice) } == "signature_invalid")
            #expect(try await refused { $0.agreementKey = Data(publicKey()) } == "signature_invalid")
            #expect(try await refused { $0.lastResortPrekey.key = Data(publicKey()) } == "signature_invalid")
            #expect(try await refused { $0.signedPrekey.signature.removeLast() } == "signature_invalid")
            #expect(try await refused { $0.agreementSignature = Data() } == "malformed")
            #expect(try await refused { $0.oneTimePrekeys[1].key = Data(count: 32) } == "malformed", "of low order")
            #expect(try await refused { $0.oneTimePrekeys[1].key.removeLast() } == "malformed")
            #expect(try await refused { $0.oneTimePrekeys[1].id = 1 } == "malformed")
            #expect(try await refused { $0.oneTimePrekeys[0].id = 0 } == "malformed")
            #expect(try await refused { $0.signedPrekey.id = 1 << 63 } == "malformed")
            #expect(try await refused { $0.oneTimePrekeys = oneTime(1...101) } == "malformed")
            #expect(try await refused { $0.graceSeconds = 30 * 86_400 + 1 } == "malformed")
            #expect(try await relay.refusal { try await relay.upload(Relay_V1_KeysUpload(), bob, as: alice.id) } == "not_found")
            // Nothing of all that was stored.
            let state: Relay_V1_KeysState = try await relay.call(.GET, "/v1/devices/\(alice.id)/keys/count", token: alice.token)
            #expect(state.agreementVersion == 1 && state.signedPrekeyID == 0 && state.lastResortPrekeyID == 0 && state.oneTimePrekeys == 0)
            #expect(try await refused { $0.graceSeconds = 30 * 86_400 } == "none")
            let after: Relay_V1_KeysState = try await relay.call(.GET, "/v1/devices/\(alice.id)/keys/count", token: alice.token)
            #expect(after.agreementVersion == 2 && after.signedPrekeyID == 1 && after.lastResortPrekeyID == 1 && after.oneTimePrekeys == 3)
            #expect(after.highestOneTimeID == 3)
            #expect(try await relay.refusal { try await relay.upload(.with { $0.oneTimePrekeys = oneTime(3...4) }, alice) } == "prekey_id_used")
            #expect(try await relay.refusal { try await relay.upload(.with { $0.oneTimePrekeys = oneTime(4...101) }, alice) } == "prekey_limit")
        }
    }

    /// Eight devices of eight users at once: each one-time prekey is in one answer, and what is left over gets the last resort.
    @Test func eightDevicesRaceForTheLastPrekeys() async throws {
        try await RunningGateway.run { relay, _ in
            let target = try await relay.addUser("target")
            var upload = Relay_V1_KeysUpload()
            upload.signedPrekey = signedPrekey(.signed, 1, target)
            upload.lastResortPrekey = signedPrekey(.lastResort, 1, target)
            upload.oneTimePrekeys = oneTime(1...20)
            try await relay.upload(upload, target)
            var devices: [RunningGateway.Device] = []
            for number in 0..<8 { devices.append(try await relay.addUser("racer\(number)")) }
            let answers = try await withThrowingTaskGroup(of: [Relay_V1_DeviceKeys].self) { group in
                for device in devices {
                    group.addTask {
                        var got: [Relay_V1_DeviceKeys] = []
                        for _ in 0..<5 { got += try await relay.prekeys(of: target.user, for: device).devices.map(\.keys) }
                        return got
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(answers.count == 40)
            let given = answers.flatMap(\.oneTimePrekeys)
            #expect(given.map(\.id).sorted() == Array(1...20))
            #expect(Set(given.map(\.key)) == Set(upload.oneTimePrekeys.map(\.key)))
            #expect(answers.allSatisfy { $0.oneTimePrekeys.isEmpty == $0.hasLastResortPrekey && $0.signedPrekey == upload.signedPrekey })
            #expect(answers.filter(\.hasLastResortPrekey).allSatisfy { $0.lastResortPrekey == upload.lastResortPrekey })
        }
    }

    @Test func strangersGetNoBundleAndContactsCannotDrain() async throws {
        let clock = ManualMonotonicClock(1 << 40)
        try await RunningGateway.run(.asking) {
            $0.monotonicClock = clock
        } _: { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            try await relay.upload(.with { $0.oneTimePrekeys = oneTime(1...100) }, bob)
            #expect(try await relay.refusal { try await relay.prekeys(of: bob.user, for: alice) } == "not_contact")
            try await relay.befriend(alice, bob)
            // The refused one counted too. Another device of alice has no bucket of its own.
            let laptop = try await relay.secondDevice(of: "alice")
            for number in 1..<Limits.prekeyFetchesOfPair {
                #expect(try await relay.prekeys(of: bob.user, for: number % 2 == 0 ? alice : laptop).devices.count == 1)
            }
            for device in [alice, laptop] {
                #expect(try await relay.refusal { try await relay.prekeys(of: bob.user, for: device) } == "rate_limited")
            }
            #expect(try await relay.prekeys(of: alice.user, for: bob).devices.count == 2)
            clock.advance(by: Limits.prekeyFetchOfPairInterval)
            #expect(
                try await relay.prekeys(of: bob.user, for: laptop).devices.first?.keys.oneTimePrekeys.map(\.id) == [
                    UInt64(Limits.prekeyFetchesOfPair)
                ])
            #expect(try await relay.refusal { try await relay.prekeys(of: bob.user, for: laptop) } == "rate_limited")
        }
    }

    @Test func aChangeIsPushedToContactsAndOwnDevices() async throws {
        try await RunningGateway.run(.asking) { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            let carol = try await relay.addUser("carol")
            try await relay.befriend(alice, bob)
            let contact = try await relay.connect(bob, subprotocol: "relay.v1.json")
            let stranger = try await relay.connect(carol)
            let phone = try await relay.connect(alice)
            for connection in [contact, stranger, phone] { _ = try await connection.frame { if case .caughtUp = $0.kind { true } else { false } } }
            func change(_ connection: RawConnection) async throws -> Relay_V1_KeyChange {
                let frame = try await connection.frame(where: { if case .keyChange = $0.kind { true } else { false } })
                return frame.keyChange
            }

            let laptop = try await relay.secondDevice(of: "alice")
            for connection in [contact, phone] {
                let enrolled = try await change(connection)
                #expect(enrolled.userID == alice.user.rawValue && enrolled.changed == [.deviceEnrolled])
                #expect(enrolled.device.deviceID == laptop.id.rawValue && enrolled.device.keys.identityKey == Data(laptop.secrets.identityKey))
            }

            var upload = newAgreement(laptop)
            upload.signedPrekey = signedPrekey(.signed, 9, laptop)
            upload.graceSeconds = 60
            let until = relay.clock.now() + .seconds(60)
            #expect(try await relay.upload(upload, laptop).agreementVersion == 2)
            for connection in [contact, phone] {
                let changed = try await change(connection)
                #expect(changed.changed == [.agreementKey, .signedPrekey] && changed.device.deviceID == laptop.id.rawValue)
                #expect(changed.device.keys.agreementKey == upload.agreementKey && changed.device.keys.agreementVersion == 2)
                #expect(
                    changed.device.keys.agreementSignature == upload.agreementSignature && changed.device.keys.signedPrekey == upload.signedPrekey)
                #expect(abs(changed.formerUntilMs - until.milliseconds) < 1000)
            }

            _ = try await relay.directory.revokeDevice(laptop.id, actor: Actor(uid: 0, operation: "test", subject: "test"))
            for connection in [contact, phone] {
                let revoked = try await change(connection)
                #expect(revoked.changed == [.deviceRevoked] && revoked.device.revoked && revoked.device.deviceID == laptop.id.rawValue)
            }
            // Neither the device itself nor anybody else is told: the pong is what comes next.
            _ = try await relay.upload(newAgreement(alice), alice)
            #expect(try await change(contact).device.deviceID == alice.id.rawValue)
            for connection in [stranger, phone] {
                try connection.send(.ping(4))
                let next = try await connection.frame()
                #expect(next.requestID == 4, "\(next)")
            }
        }
    }

    @Test func aDeviceThatWasAwayGetsTheNewKeysWithTheDelta() async throws {
        try await RunningGateway.run(.asking) { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            try await relay.befriend(alice, bob)
            func contacts(since: UInt64) async throws -> Relay_V1_ContactsPage {
                try await relay.call(.GET, "/v1/connection/user/\(bob.user)?since=\(since)", token: bob.token)
            }
            let known = try await contacts(since: 0).version
            #expect(try await contacts(since: known).contacts.isEmpty)
            let upload = newAgreement(alice)
            try await relay.upload(upload, alice)
            let delta = try await contacts(since: known)
            #expect(delta.isDeltaUpdate && delta.contacts.count == 1 && delta.version > known)
            let keys = delta.contacts.first?.user.devices.first?.keys
            #expect(keys?.agreementKey == upload.agreementKey && keys?.agreementVersion == 2)
            #expect(try await contacts(since: delta.version).contacts.isEmpty)
        }
    }

    /// Over a socket: what names a key version that is over is refused with the devices that are stale, and the recipient is told the version.
    @Test func aSendToAStaleKeyIsRefusedWithTheDifference() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            let chat = try await relay.openChat(alice, bob)
            try await relay.upload(
                .with {
                    $0 = newAgreement(bob); $0.graceSeconds = 0
                }, bob)
            func frame(_ number: UInt64, _ version: UInt32) -> Relay_V1_ClientFrame {
                var frame = Relay_V1_ClientFrame()
                frame.requestID = number
                frame.send.chatID = chat.chatID
                frame.send.clientMessageID = number
                frame.send.body = Data([1])
                frame.send.keys = chat.members.map { member in
                    .with {
                        $0.userID = member.userID
                        $0.devices = member.devices.map { device in
                            .with {
                                $0.deviceID = device.deviceID
                                $0.key = Data(repeating: 7, count: 48)
                                if device.deviceID == bob.id.rawValue { $0.keyVersion = version }
                            }
                        }
                    }
                }
                return frame
            }
            let to = try await relay.connect(bob)
            for subprotocol in ["relay.v1.proto", "relay.v1.json"] {
                let json = subprotocol == "relay.v1.json"
                let base: UInt64 = json ? 10 : 1
                let from = try await relay.connect(alice, subprotocol: subprotocol)
                try from.send(frame(base, 1), json: json)
                let error = try await from.frame { $0.requestID == base }.error
                #expect(error.code == "device_set_mismatch" && error.devices.count == 1)
                #expect(error.devices.first?.userID == bob.user.rawValue && error.devices.first?.stale == [bob.id.rawValue])
                #expect(error.devices.first?.missing == [] && error.devices.first?.extra == [])
                for version: UInt32 in [2, 0] {
                    try from.send(frame(base + (version == 0 ? 2 : 1), version), json: json)
                    let envelope = try await to.frame { !$0.deliver.envelopes.isEmpty }.deliver.envelopes[0]
                    #expect(envelope.keyVersion == version && envelope.key == Data(repeating: 7, count: 48))
                }
            }
        }
    }

    @Test func lowPrekeysAndFloodsOfChangesAreAlerts() async throws {
        let alerts = NotedAlerts()
        try await RunningGateway.run(.init(alerts: alerts)) { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            try await relay.upload(.with { $0.oneTimePrekeys = oneTime(1...11) }, bob)
            for _ in 1...3 { _ = try await relay.prekeys(of: bob.user, for: alice) }
            for id in 1...Limits.keyChangesInWindow {
                try await relay.upload(.with { $0.signedPrekey = signedPrekey(.signed, UInt64(id), bob) }, bob)
            }
            #expect(try await relay.refusal { try await relay.upload(newAgreement(bob), bob) } == "rate_limited")
        }
        #expect(alerts.all.map(\.kind) == [.lowPrekeys, .keyChangeFlood])
    }

    @Test func enrolmentTakesNoPrekeys() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            var request = Relay_V1_EnrolRequest()
            request.inviteCode = "x"
            request.keys.signedPrekey = signedPrekey(.signed, 1, alice)
            #expect(try await relay.refusal { let _: Relay_V1_EnrolReply = try await relay.call(.POST, "/v1/enrol", request) } == "malformed")
        }
    }
}
