import NIOCore
import RelayModel
import RelayTestSupport
import Testing

@testable import RelayStorage

/// What operators do about keys, at the store.
@Suite struct KeyRevocationTests {
    private func signed(_ id: UInt64, _ byte: UInt8 = 1) -> SignedKey {
        SignedKey(id: id, key: [UInt8](repeating: byte, count: 32), signature: [UInt8](repeating: byte, count: 64))
    }

    private func oneTime(_ ids: ClosedRange<UInt64>) -> [OneTimePrekey] {
        ids.map { OneTimePrekey(id: $0, key: [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: 32)) }
    }

    private func upload(
        _ world: World, agreement: UInt8? = nil, signed: SignedKey? = nil, lastResort: SignedKey? = nil, oneTime: [OneTimePrekey] = []
    ) async throws -> Outcome {
        try await world.perform(
            .setKeys(
                SetKeys(
                    user: world.bob, device: world.devices[2], agreement: agreement.map { self.signed(0, $0) }, signedPrekey: signed,
                    lastResortPrekey: lastResort, oneTimePrekeys: oneTime)))
    }

    private func bundle(_ world: World) async throws -> DeviceBundle {
        let command = Command.takePrekeys(TakePrekeys(user: world.alice, device: world.devices[0], target: world.bob))
        guard case .prekeys(let taken) = try await world.perform(command), let bundle = taken.bundles.first else { throw World.Failure() }
        return bundle
    }

    private func revoke(_ world: World, _ kinds: RevokeKeys.Kind...) async throws -> KeysRevoked {
        guard case .keysRevoked(let revoked) = try await world.perform(.revokeKeys(RevokeKeys(device: world.devices[2], kinds: kinds))) else {
            throw World.Failure()
        }
        return revoked
    }

    @Test func whatIsRevokedIsNotHandedOutAndDoesNotComeBack() async throws {
        let world = try await World(record: true)
        let phone = world.devices[2]
        _ = try await upload(world, signed: signed(7), lastResort: signed(3, 9), oneTime: oneTime(1...20))
        #expect(try await bundle(world).signedPrekey == signed(7))
        let oneTimes = try await revoke(world, .oneTime)
        #expect(oneTimes.oneTime == 19 && !oneTimes.signed && !oneTimes.lastResort)
        // That is the user's own devices' business; of the others everybody hears who writes to them.
        #expect(oneTimes.change.kinds == [.oneTimePrekeys] && oneTimes.change.audience == [world.bob])
        var given = try await bundle(world)
        #expect(given.oneTimePrekey == nil && given.lastResortPrekey == signed(3, 9) && given.signedPrekey == signed(7))
        let rest = try await revoke(world, .signed, .lastResort, .oneTime)
        #expect(rest.signed && rest.lastResort && rest.oneTime == 0 && rest.change.kinds == [.signedPrekey, .lastResortPrekey])
        #expect(rest.change.audience == [world.alice, world.bob] && rest.change.bundle.signedPrekey == nil && rest.change.formerUntil == nil)
        given = try await bundle(world)
        #expect(given.oneTimePrekey == nil && given.lastResortPrekey == nil && given.signedPrekey == nil && given.agreementVersion == 1)
        let (state, keys) = try await world.store.readers.read { [now = world.clock.now()] in
            (try $0.keysState(of: phone), try $0.keys(of: phone, at: now))
        }
        #expect(state == DeviceKeysState(agreementVersion: 1, signedPrekey: 0, lastResortPrekey: 0, oneTimePrekeys: 0, highestOneTimeID: 20))
        #expect(keys.map(\.kind) == [.agreement])

        // A late retry of the upload brings nothing back, the same numbers neither.
        #expect(rejection(try await upload(world, signed: signed(7))) == .prekeyIDUsed(highest: 7))
        #expect(rejection(try await upload(world, lastResort: signed(3, 10))) == .prekeyIDUsed(highest: 3))
        #expect(rejection(try await upload(world, oneTime: oneTime(20...21))) == .prekeyIDUsed(highest: 20))
        guard case .keysSet = try await upload(world, signed: signed(8), lastResort: signed(4), oneTime: oneTime(21...22)) else {
            throw World.Failure()
        }
        given = try await bundle(world)
        #expect(given.signedPrekey == signed(8) && given.oneTimePrekey?.id == 21)

        _ = try await revoke(world, .signed, .lastResort, .oneTime)
        let all = Command.revokeKeys(RevokeKeys(device: phone, kinds: RevokeKeys.Kind.allCases))
        #expect(rejection(try await world.perform(all)) == .keysUnknown)
        _ = try await world.perform(.revokeDevice(phone))
        #expect(rejection(try await world.perform(all)) == .deviceUnknown)
        #expect(rejection(try await world.perform(.revokeKeys(RevokeKeys(device: DeviceID(5), kinds: [.signed])))) == .deviceUnknown)
        await world.store.close()
        let copy = world.directory.file("copy.db")
        _ = try Replay.apply(record: world.directory.file("record"), toStoreAt: copy, batch: 3)
        #expect(try StoreDump.tables(ofStoreAt: copy) == StoreDump.tables(ofStoreAt: world.directory.file("relay.db")))
    }

    @Test func anExpiredKeyIsStaleAtOnce() async throws {
        let world = try await World()
        let phone = world.devices[2]
        func send(_ number: UInt64, version: UInt32) async throws -> Outcome {
            var message = world.message(number)
            var packed = PackedKeys()
            packed.append(phone, key: [UInt8](repeating: 1, count: 48), version: version)
            message.keys[1].keys = packed
            return try await world.perform(.send(message))
        }
        func expire(prekeys: Bool) async throws -> Outcome { try await world.perform(.expireKeys(ExpireKeys(device: phone, prekeys: prekeys))) }
        #expect(rejection(try await expire(prekeys: true)) == .keysUnknown)
        _ = try await upload(world, agreement: 50, signed: signed(1))
        world.clock.advance(by: .seconds(60))
        _ = try await upload(world, agreement: 51, signed: signed(2))
        guard case .sent = try await send(1, version: 1) else { throw World.Failure() }
        guard case .keysExpired(2) = try await expire(prekeys: false) else { throw World.Failure() }
        guard case .deviceSetMismatch(let differences) = rejection(try await send(2, version: 1)) else { throw World.Failure() }
        #expect(differences == [DeviceSetDifference(user: world.bob, missing: [], extra: [], stale: [phone])])
        guard case .sent = try await send(2, version: 3) else { throw World.Failure() }
        let now = world.clock.now()
        #expect(try await world.store.readers.read { try $0.keys(of: phone, at: now) }.compactMap(\.expires).count == 1)
        guard case .keysExpired(1) = try await expire(prekeys: true) else { throw World.Failure() }
        #expect(rejection(try await expire(prekeys: true)) == .keysUnknown)
        let rows = try await world.store.readers.read { try $0.keys(of: phone, at: now) }
        #expect(rows.allSatisfy { $0.expires == nil } && rows.map(\.since) == [now, now])
        await world.store.close()
    }

    @Test func lowOnesAreFoundInPages() async throws {
        let world = try await World()
        var low: [DeviceID] = []
        for number in 0..<30 as Range<UInt8> {
            let user = try await world.addUser("low\(number)", invite: 50 + number)
            let device = try await world.enrol(50 + number)
            // Every third never uploaded any, every third has enough.
            guard number % 3 != 0 else { continue }
            let count: UInt64 = number % 3 == 1 ? 9 : 10
            _ = try await world.perform(.setKeys(SetKeys(user: user, device: device, oneTimePrekeys: oneTime(1...count))))
            if count < Limits.lowPrekeys { low.append(device) }
        }
        for (limit, scan) in [(1, 1), (2, 3), (3, 100), (100, 4), (100, 100)] {
            var found: [DeviceID] = []
            var after: DeviceID?
            repeat {
                let page = try await world.store.readers.read { [after] in try $0.lowOnPrekeys(of: nil, after: after, limit: limit, scan: scan) }
                #expect(page.devices.count <= limit)
                found += page.devices
                after = page.next
            } while after != nil
            #expect(found == low, "\(limit) \(scan)")
        }
        let bob = world.bob
        #expect(try await world.store.readers.read { try $0.lowOnPrekeys(of: bob, after: nil, limit: 5) }.devices.isEmpty)
        await world.store.close()
    }
}
