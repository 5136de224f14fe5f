import RelayModel
import RelaySQLite
import RelayStorage
import RelayTestSupport
import Synchronization
import Testing

@testable import RelayPresence

/// Notes what is told.
private final class NotingLane: PresenceLane {
    let told = Mutex<[DeviceID: [UserID: ShownPresence]]>([:])

    func deliver(_ updates: [PresenceUpdate]) async -> [PresenceUpdate] {
        told.withLock { told in
            for update in updates {
                var known = update.isSnapshot ? [:] : told[update.seat.device] ?? [:]
                for (user, shown) in update.users { known[user] = shown == .nothing ? nil : shown }
                told[update.seat.device] = known
            }
        }
        return []
    }
}

/// Presence on a store on the disk, with alice and bob, who are contacts, and clocks that stand still.
private final class World {
    let directory: TemporaryDirectory
    let wall = ManualWallClock(Timestamp(milliseconds: 1_790_000_000_000))
    let monotonic = ManualMonotonicClock()
    let lane = NotingLane()
    private(set) var store: Store
    private(set) var presence: Presence
    private(set) var users: [UserID] = []
    private var seats: [PresenceSeat] = []

    init() async throws {
        directory = try TemporaryDirectory()
        (store, presence) = try World.open(directory, wall, monotonic)
        for (index, name) in ["alice", "bob", "carol"].enumerated() {
            let add = AddUser(
                name: try UserName(name), displayName: nil, avatar: nil, inviteHash: [UInt8(index)], inviteExpires: wall.now() + .seconds(60))
            guard case .userAdded(let user, _) = try await store.writer.perform(.addUser(add)) else { throw SupportFailure("no user") }
            users.append(user)
        }
        try await act(.introduce)
    }

    private static func open(
        _ directory: TemporaryDirectory, _ wall: ManualWallClock, _ monotonic: ManualMonotonicClock
    ) throws -> (Store, Presence) {
        let store = try Store(path: directory.file("relay.db"), clock: wall, onFailure: { Issue.record("the store failed: \($0)") })
        return (store, Presence(writer: store.writer, readers: store.readers, clock: wall, monotonic: monotonic))
    }

    func reopen() async throws {
        await store.close()
        (store, presence) = try World.open(directory, wall, monotonic)
    }

    /// Of alice about bob, and presence hears of it.
    func act(_ action: ContactAction) async throws {
        let command = ContactCommand(user: users[0], peer: users[1], action: action)
        guard case .contact(let outcome) = try await store.writer.perform(.contact(command)) else { throw SupportFailure("no contact") }
        presence.contacts(outcome.changes)
    }

    func joins(_ user: Int) -> PresenceSeat {
        let seat = PresenceSeat(user: users[user], device: DeviceID(UInt64(user + 1)), lane: lane)
        presence.join(seat, .watch)
        seats.append(seat)
        return seat
    }

    /// Until a device was told something. Meanwhile everybody who is there is heard.
    func until(_ user: Int, _ other: Int, is wanted: ShownPresence) async throws {
        // More than anything that waits: who is silent is offline after half as much.
        var seconds = 60
        while shown(other, to: user) != wanted || isUntold(user) {
            guard seconds > 0 else { throw SupportFailure("\(other) is \(shown(other, to: user)) for \(user), not \(wanted)") }
            seconds -= 1
            try await passes(1, hearing: seats)
        }
    }

    private func isUntold(_ user: Int) -> Bool { lane.told.withLock { $0[DeviceID(UInt64(user + 1))] == nil } }
    func shown(_ other: Int, to user: Int) -> ShownPresence {
        lane.told.withLock { $0[DeviceID(UInt64(user + 1))]?[users[other]] ?? .nothing }
    }

    /// The store answers within the second, however long it takes.
    func passes(_ seconds: Int, hearing seats: [PresenceSeat] = []) async throws {
        for _ in 0..<seconds {
            wall.advance(by: .seconds(1))
            monotonic.advance(by: .seconds(1))
            repeat { await presence.turn() } while await presence.reads()
            for seat in seats { presence.heard(seat) }
        }
    }

    func row(_ user: Int) async throws -> PresenceRow? { try await store.readers.read { [users] in try $0.presence(of: users[user]) } }

    static func minute(_ time: Timestamp) -> Timestamp { Timestamp(milliseconds: time.milliseconds - time.milliseconds % 60_000) }
}

@Suite("Presence and its store") struct PresenceTests {
    @Test(.timeLimit(.minutes(10))) func contactsAreReadAndTold() async throws {
        let world = try await World()
        let bob = world.joins(1)
        let carol = world.joins(2)
        let alice = world.joins(0)
        try await world.until(1, 0, is: .online)
        try await world.until(0, 1, is: .online)
        try await world.until(2, 0, is: .nothing)
        // Heard of all the time: nobody goes.
        try await world.passes(100, hearing: [alice, bob, carol])
        #expect(world.presence.counts == PresenceCounts(users: 3, devices: 3, watching: 3))
        // Not heard of any more.
        try await world.passes(36, hearing: [bob, carol])
        #expect(world.presence.counts.users == 2)
        #expect(world.shown(0, to: 1) != .online)
        world.presence.heard(alice)
        #expect(world.presence.counts.users == 3)
        try await world.until(1, 0, is: .online)
        await world.store.close()
    }

    @Test(.timeLimit(.minutes(10))) func aStoppedRelayIsNoSilence() async throws {
        let world = try await World()
        _ = world.joins(0)
        try await world.passes(5)
        world.monotonic.advance(by: .seconds(3600))
        try await world.passes(1)
        #expect(world.presence.counts.users == 1)
        try await world.passes(40)
        #expect(world.presence.counts.users == 0)
        await world.store.close()
    }

    @Test(.timeLimit(.minutes(10))) func theLastTimeOutlivesARestart() async throws {
        let world = try await World()
        let alice = world.joins(0)
        let bob = world.joins(1)
        try await world.until(1, 0, is: .online)
        world.presence.leave(alice, loggedOut: true)
        let went = World.minute(world.wall.now())
        try await world.passes(90, hearing: [bob])
        await world.presence.save()
        #expect(try await world.row(0)?.lastSeen == went)
        #expect(try await world.row(1)?.lastSeen == World.minute(world.wall.now()))
        let before = world.store.writer.statistics.commands
        await world.presence.save()
        // Only who is there is written once more.
        #expect(world.store.writer.statistics.commands == before + 1)
        try await world.reopen()
        #expect(world.presence.counts == PresenceCounts())
        #expect(world.presence.lastSeen(of: world.users[0]) == nil)
        _ = world.joins(1)
        try await world.until(1, 0, is: .offline(went))
        await world.store.close()
    }

    @Test(.timeLimit(.minutes(10))) func whatIsHiddenIsNotKept() async throws {
        let world = try await World()
        let alice = world.joins(0)
        _ = world.joins(1)
        try await world.until(1, 0, is: .online)
        await world.presence.save()
        #expect(try await world.row(0)?.lastSeen != nil)
        let sharing = try await world.presence.share(SetPresence(user: world.users[0], status: nil, lastSeen: false))
        #expect(sharing == PresenceSharing(status: true, lastSeen: false))
        #expect(try await world.presence.sharing(of: world.users[0]) == sharing)
        #expect(try await world.row(0)?.lastSeen == nil)
        world.presence.leave(alice, loggedOut: true)
        try await world.until(1, 0, is: .nothing)
        await world.presence.save()
        #expect(try await world.row(0) == PresenceRow(user: world.users[0], sharing: sharing))
        #expect(try await world.row(1)?.lastSeen != nil)
        // Hidden from the start, and both at once.
        _ = try await world.presence.share(SetPresence(user: world.users[1], status: false, lastSeen: nil))
        #expect(try await world.row(1) == PresenceRow(user: world.users[1], sharing: PresenceSharing(status: false)))
        _ = try await world.presence.share(SetPresence(user: world.users[1], status: true, lastSeen: true))
        #expect(try await world.row(1)?.sharing == PresenceSharing())
        await #expect(throws: PresenceError.userUnknown) {
            _ = try await world.presence.share(SetPresence(user: UserID(1), status: true, lastSeen: true))
        }
        await world.store.close()
    }

    @Test(.timeLimit(.minutes(10))) func aBlockAndItsEndAreTold() async throws {
        let world = try await World()
        _ = world.joins(0)
        _ = world.joins(1)
        try await world.until(1, 0, is: .online)
        try await world.act(.block)
        try await world.until(1, 0, is: .nothing)
        try await world.until(0, 1, is: .nothing)
        try await world.act(.unblock)
        try await world.until(1, 0, is: .online)
        try await world.until(0, 1, is: .online)
        await world.store.close()
    }

    @Test(.timeLimit(.minutes(10))) func onlyMembersAskAboutAGroup() async throws {
        let world = try await World()
        await #expect(throws: PresenceError.groupUnknown) { _ = try await world.presence.presence(in: ChatID(5), for: world.users[0]) }
        await world.store.close()
    }

    /// A removed user leaves no trace.
    @Test(.timeLimit(.minutes(10))) func aRemovedUserHasNoLastTime() async throws {
        let world = try await World()
        _ = world.joins(0)
        try await world.passes(3)
        try await world.until(0, 1, is: .nothing)
        _ = try await world.presence.share(SetPresence(user: world.users[1], status: false, lastSeen: nil))
        await world.presence.save()
        _ = try await world.store.writer.perform(.removeUser(world.users[0]))
        _ = try await world.store.writer.perform(.removeUser(world.users[1]))
        await world.presence.save()
        #expect(try await world.row(0) == nil)
        let path = world.directory.file("relay.db")
        await world.store.close()
        let database = try Database(path: path, access: .readOnly)
        #expect(try database.integer("SELECT count(*) FROM users WHERE hides != 0 OR last_seen_ms IS NOT NULL") == 0)
    }
}
