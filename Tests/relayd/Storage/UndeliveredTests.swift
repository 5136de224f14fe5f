import NIOCore
import RelayMetrics
import RelayModel
import RelayTestSupport
import Testing

@testable import RelayStorage

@Suite(.timeLimit(.minutes(10))) struct UndeliveredTests {
    private func count(_ world: World, limit: Int = Limits.undeliveredChats) async throws -> Int {
        var (sum, chat) = (0, Optional(ChatID(0)))
        while let from = chat {
            let found = try await world.store.readers.read { try $0.undelivered(after: from, limit: limit) }
            sum += found.messages
            chat = found.next
        }
        return sum
    }

    private func acknowledge(_ world: World, _ user: UserID, _ device: DeviceID, _ sent: SentOutcome) async throws {
        let entry = Acknowledge(user: user, device: device, mailboxSeq: sent.message.rawValue, delivered: [])
        _ = try await world.perform(.acknowledge([entry]))
    }

    @Test func whatSomebodyElsesDeviceHasYetToGet() async throws {
        let world = try await World()
        #expect(try await count(world) == 0)
        var sent: [SentOutcome] = []
        for number in 1...5 { sent.append(try await world.send(UInt64(number))) }
        #expect(try await count(world) == 5)
        #expect(try await count(world, limit: 1) == 5, "also chat by chat")
        try await acknowledge(world, world.bob, world.devices[2], sent[2])
        #expect(try await count(world) == 2)
        // The sender's own other device waits too, but that is nobody else.
        try await acknowledge(world, world.bob, world.devices[2], sent[4])
        #expect(try await count(world) == 0)
        // A second device of the recipient counts until it has everything, and not any more when it is revoked.
        _ = try await world.perform(.addInvite(AddInvite(user: world.bob, hash: [4], expires: world.clock.now() + .seconds(60))))
        let second = try await world.enrol(4)
        let before = try await count(world)
        let recipients = [(world.alice, [world.devices[0], world.devices[1]]), (world.bob, [world.devices[2], second])]
        guard case .sent(let more) = try await world.perform(.send(world.message(6, to: recipients))) else { throw World.Failure() }
        try await acknowledge(world, world.bob, world.devices[2], more)
        #expect(try await count(world) == before + 1)
        _ = try await world.perform(.revokeDevice(second))
        #expect(try await count(world) == 0)
        await world.store.close()
    }

    @Test func commitsAndWaitsAreMeasured() async throws {
        let directory = try TemporaryDirectory()
        let metrics = Metrics()
        let store = try Store(path: directory.file("relay.db"), metrics: metrics, onFailure: { Issue.record("\($0)") })
        for _ in 0..<3 { _ = try await store.writer.perform(.setContactPolicy(ContactPolicy())) }
        await store.close()
        #expect(metrics.commitSeconds.value.count == 3 && metrics.queueSeconds.value.count == 3)
        #expect(metrics.commitCommands.value.sum == 3)
    }
}
