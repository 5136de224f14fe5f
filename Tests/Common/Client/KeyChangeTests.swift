import FoundationEssentials
import RelayCrypto
import RelayModel
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayClient

/// Keys of others that change: what is taken, what is refused, and what that stops.
@Suite(.timeLimit(.minutes(10))) struct KeyChangeTests {
    private func change(
        _ room: Room, of name: String, version: UInt32, kinds: [Relay_V1_KeyKind] = [.agreementKey], key: [UInt8]? = nil,
        _ edit: (inout Relay_V1_KeyChange) -> Void = { _ in }
    ) throws -> Relay_V1_KeyChange {
        let device = try room[name]
        let key = key ?? AgreementSecret.generate(SystemEntropy()).publicKey
        var change = Relay_V1_KeyChange()
        change.userID = device.user.rawValue
        change.device.deviceID = device.id.rawValue
        change.device.name = "phone"
        change.device.keys.identityKey = Data(device.secrets.identityKey)
        change.device.keys.agreementKey = Data(key)
        change.device.keys.agreementSignature = Data(device.secrets.sign(Signing.agreementMessage(agreementKey: key)))
        change.device.keys.agreementVersion = version
        change.changed = kinds
        change.version = 500
        edit(&change)
        return change
    }

    /// Gives what was refused.
    @discardableResult
    private func give(_ change: Relay_V1_KeyChange, to name: String, in room: Room) async throws -> [KeyRefusal] {
        try await room[name].session.inside { session, state, effects in try session.apply(change, state, &effects) }.1.compactMap {
            if case .keysRefused(_, _, _, let refusal) = $0 { refusal } else { nil }
        }
    }

    private func devices(of name: String, at other: String, in room: Room) async throws -> [KnownDevice] {
        let user = try room[name].user
        return try await room[other].session.read { state throws(ClientError) in try state.devices(of: user) }
    }

    /// What stops a message of alice: the code of its dead letter.
    private func stopped(_ room: Room) async throws -> String? {
        try await room["alice"].session.inside { session, state, effects in
            _ = try state.enqueue("hello", to: "group", writtenAt: Timestamp(milliseconds: 1), target: .chat(ChatID(5)), command: nil)
            try session.seal(state, &effects)
        }.1.compactMap { if case .dead(let letter) = $0 { letter.code } else { nil } }.first
    }

    @Test func aNewerKeyIsTakenAndUsed() async throws {
        let room = try Room("alice", "bob")
        let key = AgreementSecret.generate(SystemEntropy()).publicKey
        #expect(try await give(try change(room, of: "bob", version: 2, key: key), to: "alice", in: room).isEmpty)
        let known = try #require(try await devices(of: "bob", at: "alice", in: room).first)
        #expect(known.agreementKey == key && known.agreementVersion == 2 && known.active)
        #expect(try await stopped(room) == nil)
        let sent = try await room["alice"].session.inside { _, state, _ in
            try Relay_V1_Send(serializedBytes: try state.sealedBytes(try #require(try state.sealedOutbox().first).id) ?? [])
        }.0
        let versions = Dictionary(uniqueKeysWithValues: sent.keys.flatMap(\.devices).map { ($0.deviceID, $0.keyVersion) })
        #expect(versions == [11: 1, 21: 2])
    }

    @Test func olderKeysAreNot() async throws {
        let room = try Room("alice", "bob")
        let key = AgreementSecret.generate(SystemEntropy()).publicKey
        try await give(try change(room, of: "bob", version: 5, key: key), to: "alice", in: room)
        #expect(try await give(try change(room, of: "bob", version: 4), to: "alice", in: room).isEmpty)
        // Another key under the same number; the same one again is nothing new.
        #expect(try await give(try change(room, of: "bob", version: 5), to: "alice", in: room) == [.older])
        #expect(try await give(try change(room, of: "bob", version: 5, key: key), to: "alice", in: room).isEmpty)
        #expect(try await give(try change(room, of: "bob", version: 0), to: "alice", in: room).isEmpty)
        #expect(try await devices(of: "bob", at: "alice", in: room).map(\.agreementKey) == [key])
    }

    @Test func aListThatGoesBackStopsTheChat() async throws {
        let room = try Room("alice", "bob")
        let newest = try change(room, of: "bob", version: 5)
        try await give(newest, to: "alice", in: room)
        let older = try change(room, of: "bob", version: 4)
        let list: @Sendable (Relay_V1_Device) -> Relay_V1_User = { device in
            var user = Relay_V1_User()
            user.userID = 2
            user.name = "bob"
            user.devices = [device]
            return user
        }
        _ = try await room["alice"].session.inside { session, state, _ in
            let trouble = try session.store(list(older.device), state)
            #expect(trouble?.code == "key_rollback")
            session.knownRecipients = [:]
        }
        #expect(try await devices(of: "bob", at: "alice", in: room).map(\.agreementVersion) == [5])
        #expect(try await stopped(room) == "key_rollback")
        // The device changes its key, and all is well.
        try await give(try change(room, of: "bob", version: 6), to: "alice", in: room)
        #expect(try await stopped(room) == nil)
        // So it is when the relay gives the right list.
        _ = try await room["alice"].session.inside { session, state, _ in
            _ = try session.store(list(older.device), state)
            let current = try #require(try state.device(DeviceID(21)))
            var right = newest.device
            right.keys.agreementKey = Data(current.agreementKey)
            right.keys.agreementVersion = 6
            right.keys.agreementSignature = Data()
            #expect(try session.store(list(right), state)?.code == "keys_invalid")
        }
    }

    @Test func whatIsWrongChangesNothing() async throws {
        let room = try Room("alice", "bob", "carol")
        let before = try await devices(of: "bob", at: "alice", in: room)
        let stranger = DeviceSecrets.generate(SystemEntropy())
        let carol = try room["carol"].secrets
        let wrong: [(KeyRefusal?, (inout Relay_V1_KeyChange) -> Void)] = [
            (.signature, { $0.device.keys.agreementSignature = Data(count: 64) }), (.signature, { $0.device.keys.agreementSignature = Data() }),
            (.signature, { $0.device.keys.agreementKey = Data(count: 32) }), (.signature, { $0.device.keys.agreementKey = Data() }),
            (nil, { $0.userID = 77 }), (nil, { $0.userID = 0 }), (nil, { $0.device.deviceID = 0 }), (nil, { $0.clearDevice() }),
            // Alice's own device has the answer to its own request.
            (nil, { ($0.userID, $0.device.deviceID) = (1, 11) }),
            // Bob's device is not carol's.
            (
                .identity,
                {
                    $0.userID = 3
                    $0.device.keys.identityKey = Data(carol.identityKey)
                }
            ),
            (.identity, { $0.device.keys.identityKey = Data(stranger.identityKey) }), (.identity, { $0.device.keys.identityKey = Data() }),
        ]
        for (index, (refusal, edit)) in wrong.enumerated() {
            let found = try await give(try change(room, of: "bob", version: 9, edit), to: "alice", in: room)
            #expect(found == (refusal.map { [$0] } ?? []), "\(index)")
        }
        #expect(try await devices(of: "bob", at: "alice", in: room) == before)
        #expect(try await devices(of: "carol", at: "alice", in: room).count == 1)
        // Another identity stops what would be sent.
        #expect(try await stopped(room) == "key_changed")
    }

    @Test func devicesComeAndGo() async throws {
        let room = try Room("alice", "bob")
        let tablet = DeviceSecrets.generate(SystemEntropy())
        let enrolled = try change(room, of: "bob", version: 1, kinds: [.deviceEnrolled]) {
            let keys = tablet.publicKeys
            $0.device.deviceID = 29
            $0.device.keys.identityKey = Data(keys.identityKey)
            $0.device.keys.agreementKey = Data(keys.agreementKey)
            $0.device.keys.agreementSignature = Data(keys.agreementSignature)
        }
        #expect(try await give(enrolled, to: "alice", in: room).isEmpty)
        #expect(try await devices(of: "bob", at: "alice", in: room).map(\.active) == [true, true])
        var revoked = enrolled
        revoked.changed = [.deviceRevoked]
        revoked.device.revoked = true
        #expect(try await give(revoked, to: "alice", in: room).isEmpty)
        #expect(try await devices(of: "bob", at: "alice", in: room).map(\.active) == [true, false])
        // Nobody else's device goes that way.
        revoked.userID = 1
        try await give(revoked, to: "alice", in: room)
        revoked.device.deviceID = 21
        try await give(revoked, to: "alice", in: room)
        #expect(try await devices(of: "bob", at: "alice", in: room).map(\.active) == [true, false])
    }

    @Test func verifiedContactsStopForDevicesAndNotForAgreementKeys() async throws {
        let room = try Room("alice", "bob")
        _ = try await room["alice"].session.read { state throws(ClientError) in
            try state.verify(UserID(2), at: Timestamp(milliseconds: 1))
        }
        try await give(try change(room, of: "bob", version: 2), to: "alice", in: room)
        #expect(try await room["alice"].session.read { state throws(ClientError) in try state.verification(of: UserID(2)) } != .no)
        #expect(try await stopped(room) == nil)
        let tablet = DeviceSecrets.generate(SystemEntropy()).publicKeys
        let enrolled = try change(room, of: "bob", version: 1, kinds: [.deviceEnrolled]) {
            $0.device.deviceID = 29
            $0.device.keys.identityKey = Data(tablet.identityKey)
            $0.device.keys.agreementKey = Data(tablet.agreementKey)
            $0.device.keys.agreementSignature = Data(tablet.agreementSignature)
        }
        try await give(enrolled, to: "alice", in: room)
        #expect(try await stopped(room) == "safety_number_changed")
    }

    @Test func theVersionIsWhereTheNextConnectionAsksOn() async throws {
        let room = try Room("alice", "bob")
        func version() async throws -> UInt64 { try await room["alice"].session.read { state throws(ClientError) in try state.contactsVersion() } }
        // Not before the list is here.
        try await give(try change(room, of: "bob", version: 2), to: "alice", in: room)
        #expect(try await version() == 0)
        _ = try await room["alice"].session.inside { session, _, _ in session.contactsSynced = true }
        try await give(try change(room, of: "bob", version: 3) { $0.version = 700 }, to: "alice", in: room)
        #expect(try await version() == 700)
        // Also of somebody who is nobody here: it came, and there is nothing to do about it.
        try await give(try change(room, of: "bob", version: 3) { ($0.userID, $0.version) = (77, 800) }, to: "alice", in: room)
        #expect(try await version() == 800)
        try await give(try change(room, of: "bob", version: 4) { $0.version = 750 }, to: "alice", in: room)
        #expect(try await version() == 800)
    }

    @Test func randomChangesNeverGoBack() async throws {
        let room = try Room("alice", "bob")
        var random = SeededGenerator(seed: UInt64.random(in: 1 ... .max))
        var newest: UInt32 = 1
        for _ in 0..<300 {
            let version = UInt32.random(in: 0...(newest + 2), using: &random)
            let key = AgreementSecret.generate(SystemEntropy()).publicKey
            let refused = try await give(try change(room, of: "bob", version: version, key: key), to: "alice", in: room)
            let known = try #require(try await devices(of: "bob", at: "alice", in: room).first)
            #expect(refused == (max(1, version) == newest ? [.older] : []))
            let isNewer = version > newest
            newest = max(newest, version)
            #expect(known.agreementVersion == newest)
            if isNewer { #expect(known.agreementKey == key) }
        }
    }
}
