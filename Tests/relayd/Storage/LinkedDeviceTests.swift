import RelayModel
import RelayTestSupport
import Testing

@testable import RelayStorage

/// Devices that another device of their user vouches for, as the engine has them. Signatures are checked before.
@Suite struct LinkedDeviceTests {
    private func link(_ world: World, by device: Int = 0, user: UserID? = nil, keys: UInt8 = 200, limit: Int = 5) async throws -> Outcome {
        try await world.perform(
            .linkDevice(
                LinkDevice(
                    user: user ?? world.alice, by: world.devices[device], deviceName: "laptop", keys: LinkedDeviceTests.keys(keys),
                    devicesPerUser: limit)))
    }

    private static func keys(_ byte: UInt8) -> DeviceKeySet {
        DeviceKeySet(
            identityKey: [UInt8](repeating: byte, count: 32), agreementKey: [UInt8](repeating: byte, count: 32),
            agreementSignature: [UInt8](repeating: byte, count: 64))
    }

    private func rejection(_ outcome: Outcome) -> Rejection? {
        if case .rejected(let rejection) = outcome { rejection } else { nil }
    }

    @Test func isAddedOnceAndTold() async throws {
        let world = try await World()
        guard case .enrolled(let first) = try await link(world) else { throw World.Failure() }
        #expect(first.user == world.alice && first.userName.text == "alice")
        #expect(first.change?.user == world.alice && first.change?.kinds == [.enrolled])
        guard case .enrolled(let again) = try await link(world) else { throw World.Failure() }
        #expect(again.device == first.device && again.change == nil)
        let alice = world.alice
        let devices = try await world.store.readers.read { try $0.devices(of: alice) }
        #expect(devices.map(\.id) == [world.devices[0], world.devices[1], first.device] && devices.last?.name == "laptop")
        // From now on a message must be wrapped for it.
        #expect(
            rejection(try await world.perform(.send(world.message(1))))
                == .deviceSetMismatch([DeviceSetDifference(user: world.alice, missing: [first.device], extra: [])]))
    }

    @Test func whoMayNotAddsNone() async throws {
        let world = try await World()
        #expect(rejection(try await link(world, limit: 2)) == .deviceLimitReached(limit: 2))
        // Bob's device does not vouch for one of alice's.
        #expect(rejection(try await link(world, by: 2)) == .deviceUnknown)
        _ = try await world.perform(.suspendUser(world.alice, reason: nil))
        #expect(rejection(try await link(world)) == .userSuspended)
        _ = try await world.perform(.resumeUser(world.alice))
        _ = try await world.perform(.revokeDevice(world.devices[0]))
        #expect(rejection(try await link(world)) == .deviceUnknown)
        guard case .enrolled = try await link(world, by: 1) else { throw World.Failure() }
        _ = try await world.perform(.removeUser(world.alice))
        #expect(rejection(try await link(world, by: 1, keys: 201)) == .deviceUnknown)
    }
}
