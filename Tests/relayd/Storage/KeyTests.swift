import NIOCore
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayStorage

private func signed(_ id: UInt64, _ byte: UInt8 = 1) -> SignedKey {
    SignedKey(id: id, key: [UInt8](repeating: byte, count: 32), signature: [UInt8](repeating: byte, count: 64))
}

private func signedKey(_ byte: UInt8) -> SignedKey { signed(0, byte) }

private func oneTime(_ ids: ClosedRange<UInt64>) -> [OneTimePrekey] {
    ids.map { OneTimePrekey(id: $0, key: [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: 32)) }
}

/// Prekeys and changed keys, as the engine has them. Signatures are checked before: see the directory's tests.
@Suite struct KeyTests {
    /// Alice and bob are contacts, and nobody else is anybody's.
    private func contacts() async throws -> World {
        let world = try await World()
        for (user, peer) in [(world.alice, world.bob), (world.bob, world.alice)] {
            _ = try await world.perform(.contact(ContactCommand(user: user, peer: peer, action: .request)))
        }
        _ = try await world.perform(.setContactPolicy(ContactPolicy()))
        return world
    }

    private func set(
        _ world: World, _ device: Int = 2, agreement: UInt8? = nil, signed: SignedKey? = nil, lastResort: SignedKey? = nil,
        oneTime: [OneTimePrekey] = [], grace: Duration = Limits.keyGrace
    ) async throws -> KeysSet {
        let outcome = try await trySet(
            world, device, agreement: agreement, signed: signed, lastResort: lastResort, oneTime: oneTime, grace: grace)
        guard case .keysSet(let set) = outcome else { throw World.Failure() }
        return set
    }

    private func trySet(
        _ world: World, _ device: Int = 2, agreement: UInt8? = nil, signed: SignedKey? = nil, lastResort: SignedKey? = nil,
        oneTime: [OneTimePrekey] = [], grace: Duration = Limits.keyGrace
    ) async throws -> Outcome {
        try await world.perform(
            .setKeys(
                SetKeys(
                    user: device == 2 ? world.bob : world.alice, device: world.devices[device], agreement: agreement.map { signedKey($0) },
                    signedPrekey: signed, lastResortPrekey: lastResort, oneTimePrekeys: oneTime, grace: grace)))
    }

    private func take(_ world: World, _ device: Int = 0, of target: UserID? = nil) async throws -> Outcome {
        try await world.perform(
            .takePrekeys(TakePrekeys(user: device == 2 ? world.bob : world.alice, device: world.devices[device], target: target ?? world.bob)))
    }

    private func taken(_ outcome: Outcome) throws -> TakenPrekeys {
        guard case .prekeys(let taken) = outcome else { throw World.Failure() }
        return taken
    }

    @Test func oneTimePrekeysAreHandedOutOnceAndThenTheLastResort() async throws {
        let world = try await contacts()
        let state = try await set(world, signed: signed(7), lastResort: signed(3, 9), oneTime: oneTime(5...16)).state
        #expect(
            state
                == DeviceKeysState(agreementVersion: 1, signedPrekey: 7, lastResortPrekey: 3, oneTimePrekeys: 12, highestOneTimeID: 16))
        var given: [UInt64] = []
        for number in 1...12 {
            let answer = try taken(try await take(world, number % 2))
            let bundle = try #require(answer.bundles.first)
            #expect(answer.bundles.count == 1 && bundle.device == world.devices[2])
            #expect(bundle.signedPrekey == signed(7) && bundle.lastResortPrekey == nil && bundle.agreementVersion == 1)
            given.append(bundle.oneTimePrekey?.id ?? 0)
            // Said once: when there are fewer than ten.
            #expect(answer.low.map(\.left) == (number == 3 ? [9] : []))
        }
        #expect(given == Array(5...16))
        for _ in 1...2 {
            let bundle = try taken(try await take(world)).bundles.first
            #expect(bundle?.oneTimePrekey == nil && bundle?.lastResortPrekey == signed(3, 9))
        }
        // New ones come first again, and are numbered above all that were there.
        #expect(rejection(try await trySet(world, oneTime: oneTime(16...20))) == .prekeyIDUsed(highest: 16))
        #expect(try await set(world, oneTime: oneTime(17...18)).state.oneTimePrekeys == 2)
        #expect(try taken(try await take(world)).bundles.first?.oneTimePrekey?.id == 17)
        await world.store.close()
    }

    @Test func whatWasHandedOutStaysSoAfterARestart() async throws {
        let world = try await contacts()
        _ = try await set(world, oneTime: oneTime(1...2))
        #expect(try taken(try await take(world)).bundles.first?.oneTimePrekey?.id == 1)
        await world.store.close()
        let reopened = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        let command = Command.takePrekeys(TakePrekeys(user: world.alice, device: world.devices[0], target: world.bob))
        #expect(try taken(try await reopened.writer.perform(command)).bundles.first?.oneTimePrekey?.id == 2)
        #expect(try taken(try await reopened.writer.perform(command)).bundles.first?.oneTimePrekey == nil)
        await reopened.close()
    }

    /// Everybody at once: each key is in one answer.
    @Test func aRaceHandsOutNothingTwice() async throws {
        let world = try await contacts()
        _ = try await set(world, lastResort: signed(1), oneTime: oneTime(1...40))
        let (store, alice, devices, bob) = (world.store, world.alice, world.devices, world.bob)
        let ids = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for number in 0..<64 {
                group.addTask {
                    let command = TakePrekeys(user: alice, device: devices[number % 2], target: bob)
                    guard case .prekeys(let taken) = try await store.writer.perform(.takePrekeys(command)) else { throw World.Failure() }
                    return taken.bundles.first?.oneTimePrekey?.id ?? 0
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(ids.filter { $0 != 0 }.sorted() == Array(1...40))
        #expect(ids.count { $0 == 0 } == 24)
        await world.store.close()
    }

    @Test func onlyContactsGetBundles() async throws {
        let world = try await contacts()
        _ = try await set(world, oneTime: oneTime(1...2))
        let carol = try await world.addUser("carol", invite: 9)
        let device = try await world.enrol(9)
        func ask() async throws -> Outcome {
            try await world.perform(.takePrekeys(TakePrekeys(user: carol, device: device, target: world.bob)))
        }
        #expect(rejection(try await ask()) == .notContact(.none, version: 0))
        _ = try await world.perform(.contact(ContactCommand(user: world.bob, peer: world.alice, action: .block)))
        guard case .notContact(.blockedByThem, _) = rejection(try await take(world)) else { throw World.Failure() }
        _ = try await world.perform(.contact(ContactCommand(user: world.bob, peer: world.alice, action: .unblock)))
        #expect(try taken(try await take(world)).bundles.first?.oneTimePrekey?.id == 1)
        // One's own other devices, not the one that asks.
        #expect(try taken(try await take(world, 0, of: world.alice)).bundles.map(\.device) == [world.devices[1]])
        _ = try await world.perform(.setContactPolicy(ContactPolicy(everyone: true)))
        #expect(try taken(try await ask()).bundles.first?.oneTimePrekey?.id == 2)
        _ = try await world.perform(.suspendUser(carol, reason: nil))
        #expect(rejection(try await ask()) == .userSuspended)
        await world.store.close()
    }

    @Test func uploadsAreBoundedAndMayBeRepeated() async throws {
        let world = try await contacts()
        let keys = oneTime(1...UInt64(Limits.oneTimePrekeys))
        let first = try await set(world, signed: signed(2), lastResort: signed(1), oneTime: keys)
        #expect(first.change?.kinds == [.signedPrekey, .lastResortPrekey])
        #expect(rejection(try await trySet(world, oneTime: oneTime(101...101))) == .prekeyLimitReached(limit: Limits.oneTimePrekeys))
        _ = try await take(world)
        // The same again, because the answer was lost: nothing changes, and what was handed out does not come back.
        let again = try await set(world, signed: signed(2), lastResort: signed(1), oneTime: keys)
        #expect(again.change == nil && again.state.oneTimePrekeys == 99)
        var other = keys
        other[50].key[0] ^= 1
        #expect(rejection(try await trySet(world, oneTime: other)) == .prekeyIDUsed(highest: 100))
        #expect(rejection(try await trySet(world, signed: signed(2, 5))) == .prekeyIDUsed(highest: 2))
        #expect(rejection(try await trySet(world, signed: signed(1, 5))) == .prekeyIDUsed(highest: 2))
        // A refused upload changed nothing, also where part of it was right.
        #expect(rejection(try await trySet(world, agreement: 77, signed: signed(1, 5))) == .prekeyIDUsed(highest: 2))
        #expect(try await set(world).state == again.state)
        await world.store.close()
    }

    private func send(_ world: World, _ number: UInt64, version: UInt32) async throws -> Outcome {
        var message = world.message(number)
        var packed = PackedKeys()
        packed.append(world.devices[2], key: [1, 2, 3], version: version)
        message.keys[1].keys = packed
        return try await world.perform(.send(message))
    }

    @Test func aReplacedAgreementKeyIsTakenWithinItsGrace() async throws {
        let world = try await contacts()
        func stale(_ outcome: Outcome) -> Bool {
            rejection(outcome) == .deviceSetMismatch([DeviceSetDifference(user: world.bob, missing: [], extra: [], stale: [world.devices[2]])])
        }
        func isSent(_ outcome: Outcome) -> Bool { if case .sent = outcome { true } else { false } }
        #expect(isSent(try await send(world, 1, version: 1)))
        #expect(stale(try await send(world, 2, version: 2)), "a version that never was")
        let set = try await set(world, agreement: 50)
        #expect(set.state.agreementVersion == 2 && set.change?.kinds == [.agreementKey])
        #expect(set.change?.formerUntil == world.clock.now() + Limits.keyGrace)
        #expect(set.change?.bundle.keys.agreementKey == signed(0, 50).key)
        for version: UInt32 in 0...2 { #expect(isSent(try await send(world, UInt64(version) + 2, version: version))) }
        #expect(stale(try await send(world, 5, version: 3)))
        world.clock.advance(by: Limits.keyGrace - .milliseconds(1))
        #expect(isSent(try await send(world, 5, version: 1)))
        world.clock.advance(by: .milliseconds(1))
        #expect(stale(try await send(world, 6, version: 1)))
        // The number of a refused message may be used again; what names no version is for the newest.
        #expect(isSent(try await send(world, 6, version: 2)))
        #expect(isSent(try await send(world, 7, version: 0)))
        // Without grace it ends at once.
        #expect(try await self.set(world, agreement: 51, grace: .zero).change?.formerUntil == nil)
        #expect(stale(try await send(world, 8, version: 2)))
        await world.store.close()
        let reopened = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        var message = world.message(8)
        var packed = PackedKeys()
        packed.append(world.devices[2], key: [1], version: 3)
        message.keys[1].keys = packed
        guard case .sent(let sent) = try await reopened.writer.perform(.send(message)) else { throw World.Failure() }
        // Whoever receives it learns which key it is for.
        let (bob, device) = (world.bob, world.devices[2])
        let page = try await reopened.readers.read { try $0.mailbox(of: bob, after: sent.message.rawValue - 1, limit: 1, bytes: 1 << 20) }
        #expect(page.envelopes.first?.keys.version(for: device) == 3)
        #expect(page.envelopes.first?.keys.key(for: device) == ByteBuffer(bytes: [1]))
        await reopened.close()
    }

    @Test func replacedKeysAreListedUntilTheirGraceIsOverAndBounded() async throws {
        let world = try await contacts()
        let device = world.devices[2]
        _ = try await set(world, signed: signed(1))
        _ = try await set(world, signed: signed(2), grace: .seconds(60))
        func list() async throws -> [DeviceKeyRow] {
            let now = world.clock.now()
            return try await world.store.readers.read { try $0.keys(of: device, at: now) }
        }
        let until = world.clock.now() + .seconds(60)
        #expect(try await list().dropFirst().map(\.expires) == [nil, until])
        #expect(try await list().map(\.key.id) == [1, 2, 1])
        world.clock.advance(by: .seconds(60))
        #expect(try await list().map(\.key.id) == [1, 2])
        for number in 1...20 as ClosedRange<UInt8> { _ = try await set(world, agreement: 100 + number, grace: Limits.keyGraceCeiling) }
        let former = try await list().filter { $0.kind == .agreement && $0.expires != nil }
        #expect(former.map(\.key.id) == Array((5...20).reversed()))
        await world.store.close()
    }

    @Test func aFloodOfChangesIsReportedAndThenRefused() async throws {
        let world = try await contacts()
        let begin = world.clock.now()
        for number in 1...Limits.keyChangesInWindow {
            world.clock.advance(by: .seconds(1))
            let flood = try await set(world, signed: signed(UInt64(number))).flood
            #expect(flood == (number == Limits.keyChangesBeforeAlert + 1 ? number : nil))
        }
        let until = begin + .seconds(1) + Limits.keyChangeWindow
        #expect(rejection(try await trySet(world, signed: signed(1000))) == .keyChangesTooOften(until: until))
        // Refilling is no change.
        #expect(try await set(world, oneTime: oneTime(1...5)).change == nil)
        world.clock.advance(by: Limits.keyChangeWindow)
        #expect(try await set(world, signed: signed(1000)).flood == nil)
        await world.store.close()
    }

    @Test func aRevokedDeviceLeavesNoPrekeys() async throws {
        let world = try await contacts()
        for device in [1, 2] {
            _ = try await set(world, device, signed: signed(1), lastResort: signed(1), oneTime: oneTime(1...3))
            _ = try await set(world, device, agreement: 90, signed: signed(2))
        }
        guard case .deviceRevoked(let change) = try await world.perform(.revokeDevice(world.devices[1])) else { throw World.Failure() }
        #expect(change.kinds == [.revoked] && change.bundle.revoked && change.audience == [world.alice, world.bob])
        #expect(rejection(try await trySet(world, 1, signed: signed(3))) == .deviceUnknown)
        #expect(try taken(try await take(world, 0, of: world.alice)).bundles.isEmpty)
        _ = try await world.perform(.removeUser(world.bob))
        #expect(rejection(try await take(world)) == .userUnknown)
        await world.store.close()
        let database = try Database(path: world.directory.file("relay.db"), access: .readWriteCreate)
        for table in ["prekeys", "one_time_prekeys", "key_progress"] { #expect(try database.integer("SELECT count(*) FROM \(table)") == 0) }
    }

    /// A device that was away asks what changed since the version it has, and gets the contact whose keys changed.
    @Test func changedKeysAreInTheDeltaOfContacts() async throws {
        let world = try await contacts()
        let (alice, bob) = (world.alice, world.bob)
        let carol = try await world.addUser("carol", invite: 9)
        _ = try await world.perform(.contact(ContactCommand(user: alice, peer: carol, action: .request)))
        func page(_ user: UserID, since: UInt64, after: UInt64 = 0, limit: Int = 10) async throws -> ContactsPage {
            try await world.store.readers.read { try $0.contacts(of: user, since: since, after: after, state: nil, category: nil, limit: limit) }
        }
        let known = try await page(alice, since: 0)
        #expect(known.rows.map(\.peer) == [bob, carol])
        let change = try #require(try await set(world, agreement: 60).change)
        #expect(change.audience == [alice, bob] && change.version > known.version)
        let delta = try await page(alice, since: known.version)
        #expect(delta.isDelta && delta.rows.map(\.peer) == [bob] && delta.rows.first?.version == change.version)
        #expect(delta.version == change.version)
        #expect(try await page(alice, since: delta.version).rows.isEmpty)
        // Whoever only asked is told nothing.
        let device = try await world.enrol(9)
        let asked = SetKeys(user: carol, device: device, signedPrekey: signed(1))
        guard case .keysSet(let set) = try await world.perform(.setKeys(asked)) else { throw World.Failure() }
        #expect(set.change?.audience == [carol])
        #expect(try await page(alice, since: delta.version).rows.isEmpty)
        // Page by page, in the order of what is newest.
        let first = try await page(alice, since: 0, limit: 1)
        let second = try await page(alice, since: 0, after: first.next, limit: 1)
        #expect(first.rows.map(\.peer) == [carol] && second.rows.map(\.peer) == [bob])
        // A decision that is based on it knew of all that was decided before.
        let block = ContactCommand(user: alice, peer: bob, action: .block, basedOn: change.version)
        guard case .contact = try await world.perform(.contact(block)) else { throw World.Failure() }
        // Who is blocked hears nothing more.
        #expect(try await self.set(world, agreement: 61).change?.audience == [bob])
        await world.store.close()
    }

    /// As many contacts as a user may have: all of them are told by one command, and all of them find it in their delta.
    @Test func aThousandContactsAreToldAtOnce() async throws {
        let world = try await World()
        let (store, clock, bob) = (world.store, world.clock, world.bob)
        let peers = try await withThrowingTaskGroup(of: UserID.self) { group in
            for number in 0..<Limits.contacts {
                group.addTask {
                    let hash = [7, UInt8(number >> 8), UInt8(number & 255)]
                    let user = AddUser(
                        name: try UserName("peer\(number)"), displayName: nil, avatar: nil, inviteHash: hash,
                        inviteExpires: clock.now() + .seconds(60))
                    guard case .userAdded(let peer, _) = try await store.writer.perform(.addUser(user)) else { throw World.Failure() }
                    for (one, other) in [(peer, bob), (bob, peer)] {
                        guard case .contact = try await store.writer.perform(.contact(ContactCommand(user: one, peer: other, action: .request)))
                        else { throw World.Failure() }
                    }
                    return peer
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        _ = try await world.perform(.setContactPolicy(ContactPolicy()))
        let known = store.writer.horizon.rawValue
        let change = try #require(try await set(world, agreement: 60).change)
        #expect(change.audience == (peers + [bob]).sorted())
        for peer in [peers.min(), peers.max()] {
            let peer = try #require(peer)
            let delta = try await store.readers.read {
                try $0.contacts(of: peer, since: known, after: 0, state: nil, category: nil, limit: 10)
            }
            #expect(delta.rows.map(\.peer) == [bob] && delta.version == change.version)
        }
        await store.close()
    }

    @Test func enrolmentIsAChangeAndItsRepetitionIsNone() async throws {
        let world = try await contacts()
        _ = try await world.perform(.addInvite(AddInvite(user: world.bob, hash: [4], expires: world.clock.now() + .seconds(60))))
        guard case .enrolled(let first) = try await world.tryToEnrol(4) else { throw World.Failure() }
        #expect(first.change?.kinds == [.enrolled] && first.change?.audience == [world.alice, world.bob])
        #expect(first.change?.bundle.device == first.device && first.change?.version == first.device.rawValue)
        guard case .enrolled(let again) = try await world.tryToEnrol(4) else { throw World.Failure() }
        #expect(again.device == first.device && again.change == nil)
        await world.store.close()
    }

    @Test func theSameUploadsGiveTheSameTables() async throws {
        let world = try await World(record: true)
        _ = try await set(world, agreement: 5, signed: signed(1), lastResort: signed(1), oneTime: oneTime(1...20))
        _ = try await set(world, agreement: 6, signed: signed(2), grace: .seconds(5))
        world.clock.advance(by: .seconds(6))
        for number in 0...6 { _ = try await take(world, number % 2) }
        _ = try await set(world, 0, signed: signed(4), oneTime: oneTime(7...9))
        _ = try await set(world, signed: signed(3), oneTime: oneTime(21...25))
        _ = try await world.perform(.revokeDevice(world.devices[1]))
        await world.store.close()
        let copy = world.directory.file("copy.db")
        _ = try Replay.apply(record: world.directory.file("record"), toStoreAt: copy, batch: 3)
        #expect(try StoreDump.tables(ofStoreAt: copy) == StoreDump.tables(ofStoreAt: world.directory.file("relay.db")))
    }

    /// Devices of a store from before prekeys have their first agreement key, and can change it.
    @Test func anOlderStoreIsMigrated() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("relay.db")
        do {
            let database = try Database(path: path, access: .readWriteCreate)
            for migration in Schema.migrations.prefix(5) { try migration.run(on: database) }
            try database.execute("PRAGMA user_version = 5")
            try database.execute("INSERT INTO users (user_id, name) VALUES (7, 'alice')")
            try database.execute(
                """
                INSERT INTO devices (device_id, user_id, name, identity_key, agreement_key, agreement_signature)
                VALUES (8, 7, 'phone', x'01', x'02', x'03')
                """
            )
        }
        let store = try Store(path: path, onFailure: { Issue.record("\($0)") })
        let before = try await store.readers.read { try $0.keysState(of: DeviceID(8)) }
        #expect(before == DeviceKeysState(agreementVersion: 1, signedPrekey: 0, lastResortPrekey: 0, oneTimePrekeys: 0, highestOneTimeID: 0))
        let command = SetKeys(user: UserID(7), device: DeviceID(8), agreement: signed(0), oneTimePrekeys: oneTime(1...2))
        guard case .keysSet(let set) = try await store.writer.perform(.setKeys(command)) else { throw World.Failure() }
        #expect(set.state.agreementVersion == 2 && set.state.oneTimePrekeys == 2)
        let row = try await store.readers.read { try $0.device(DeviceID(8)) }
        #expect(row?.agreementVersion == 2 && row?.keys.agreementKey == signed(0).key && row?.keys.identityKey == [1])
        await store.close()
    }
}
