import RelayModel
import RelayStorage
import Synchronization
import Testing

@testable import RelayPresence

/// Tells nobody anything: the tests look at what would be told.
private final class NoLane: PresenceLane {
    func deliver(_ updates: [PresenceUpdate]) async -> [PresenceUpdate] { [] }
}

/// A relay's presence with a clock that stands still until it is told to move, and a store that is a table.
private final class Simulation {
    static let start: Int64 = 1_790_000_000_000
    private var state = PresenceState(offlineAfter: 30, now: 1)
    private(set) var tick: UInt32 = 1
    private let lane = NoLane()
    /// The store.
    var contacts: [Int: Set<Int>] = [:]
    var sharing: [Int: PresenceSharing] = [:]
    var stored: [Int: Timestamp] = [:]
    /// Answers of the store wait until they are let through.
    var holdsLoads = false
    private var held: [(UserID, PresenceAudience)] = []
    private(set) var loads = 0
    /// What each device was told, and what it knows from that.
    private(set) var told: [DeviceID: [PresenceUpdate]] = [:]
    private(set) var known: [DeviceID: [UserID: ShownPresence]] = [:]
    /// Devices whose sockets take nothing.
    var full: Set<DeviceID> = []
    private var beating: Set<ObjectIdentifier> = []
    private var seats: [PresenceSeat] = []

    var now: PresenceMoment { PresenceMoment(tick: tick, wall: Timestamp(milliseconds: Self.start + Int64(tick) * 1000)) }

    func minute(_ tick: UInt32) -> Timestamp {
        let milliseconds = Self.start + Int64(tick) * 1000
        return Timestamp(milliseconds: milliseconds - milliseconds % 60_000)
    }

    func befriend(_ user: Int, _ others: some Sequence<Int>) {
        for other in others {
            contacts[user, default: []].insert(other)
            contacts[other, default: []].insert(user)
        }
    }

    // MARK: What happens

    /// A device that beats from now on.
    @discardableResult func joins(_ user: Int, device: Int? = nil, watches: Bool = true) -> PresenceSeat {
        let seat = PresenceSeat(user: UserID(UInt64(user)), device: DeviceID(UInt64(device ?? user * 100)), lane: lane)
        seats.append(seat)
        beating.insert(ObjectIdentifier(seat))
        join(seat, watches: watches)
        return seat
    }

    func join(_ seat: PresenceSeat, watches: Bool) {
        state.join(seat, watches: watches, now)
        work()
    }

    func logsOut(_ seat: PresenceSeat) { leaves(seat, loggedOut: true) }

    /// The connection breaks, and nobody says anything.
    func isLost(_ seat: PresenceSeat) { leaves(seat, loggedOut: false) }

    private func leaves(_ seat: PresenceSeat, loggedOut: Bool) {
        beating.remove(ObjectIdentifier(seat))
        state.leave(seat, loggedOut: loggedOut, now)
        work()
    }

    /// The connection stays, and says nothing any more.
    func fallsSilent(_ seat: PresenceSeat) { beating.remove(ObjectIdentifier(seat)) }

    func beats(_ seat: PresenceSeat) {
        beating.insert(ObjectIdentifier(seat))
        beat(seat)
        work()
    }

    private func beat(_ seat: PresenceSeat) {
        if seat.heard.exchange(tick, ordering: .relaxed) == PresenceSeat.silent { state.revived(seat, now) }
    }

    func out(_ device: Int) {
        state.out([DeviceID(UInt64(device))], now)
        work()
    }

    func become(_ user: Int, _ other: Int, contacts accepted: Bool) {
        if accepted {
            befriend(user, [other])
        } else {
            contacts[user]?.remove(other)
            contacts[other]?.remove(user)
        }
        state.contact(UserID(UInt64(user)), UserID(UInt64(other)), accepted: accepted)
        work()
    }

    func shares(_ user: Int, _ what: PresenceSharing) {
        sharing[user] = what
        if !what.tellsLastSeen { stored[user] = nil }
        state.share(UserID(UInt64(user)), what, now)
        work()
    }

    /// Second by second; whoever is there beats every five.
    func passes(_ seconds: Int) {
        for _ in 0..<seconds {
            tick += 1
            if tick % 5 == 0 { for seat in seats where beating.contains(ObjectIdentifier(seat)) { beat(seat) } }
            state.advance(to: tick)
            work()
        }
    }

    func letLoadsThrough() {
        holdsLoads = false
        letThrough(held)
    }

    /// Those of one user; others still wait.
    func letLoadsThrough(of user: Int) { letThrough(held.filter { $0.0 == UserID(UInt64(user)) }) }

    private func letThrough(_ some: [(UserID, PresenceAudience)]) {
        held.removeAll { one in some.contains { $0.0 == one.0 } }
        for (user, audience) in some { state.loaded(user, audience, now) }
        work()
    }

    func audience(of user: Int) -> PresenceAudience {
        func row(_ user: Int) -> PresenceRow {
            PresenceRow(user: UserID(UInt64(user)), sharing: sharing[user] ?? PresenceSharing(), lastSeen: stored[user])
        }
        return PresenceAudience(own: row(user), contacts: (contacts[user] ?? []).sorted().map(row))
    }

    private func work() {
        while true {
            let actions = state.take(now)
            for user in actions.loads {
                loads += 1
                let audience = audience(of: Int(user.rawValue))
                if holdsLoads { held.append((user, audience)) } else { state.loaded(user, audience, now) }
            }
            var refused: [PresenceUpdate] = []
            for update in actions.updates {
                let device = update.seat.device
                if full.contains(device) {
                    refused.append(update)
                    continue
                }
                told[device, default: []].append(update)
                var knows = update.isSnapshot ? [:] : known[device] ?? [:]
                for (user, shown) in update.users { knows[user] = shown == .nothing ? nil : shown }
                known[device] = knows
            }
            state.putBack(refused)
            if !actions.more, actions.loads.isEmpty || holdsLoads { return }
        }
    }

    // MARK: What is to be seen

    /// What a user's only device shows of another user.
    func shown(_ other: Int, to user: Int) -> ShownPresence { shown(other, toDevice: user * 100) }
    func shown(_ other: Int, toDevice device: Int) -> ShownPresence { known[DeviceID(UInt64(device))]?[UserID(UInt64(other))] ?? .nothing }
    func updates(_ user: Int) -> Int { told[DeviceID(UInt64(user * 100))]?.count ?? 0 }
    func onDemand(_ members: Set<Int>, by user: Int) -> [UserID: ShownPresence] {
        var audience = audience(of: user)
        audience.contacts.removeAll { !members.contains(Int($0.user.rawValue)) }
        return state.snapshot(audience.contacts, for: audience.own.sharing)
    }
    var counts: PresenceCounts { state.counts }
    func toSave() -> [LastSeen] {
        let users = state.usersToSave(now)
        return state.lastSeen(of: users, now)
    }
    func save() {
        let entries = toSave()
        // As the store does: what is hidden is not kept, whoever sends it.
        for entry in entries {
            let user = Int(entry.user.rawValue)
            if (sharing[user] ?? PresenceSharing()).tellsLastSeen { stored[user] = max(stored[user] ?? entry.at, entry.at) }
        }
        state.saved(entries, now)
    }
}

@Suite("Presence") struct PresenceStateTests {
    // MARK: The flows of the published design

    @Test func whoLogsInIsSeenByContactsOnly() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        world.joins(3)
        world.passes(1)
        #expect(world.shown(1, to: 2) == .nothing)
        world.joins(1)
        world.passes(2)
        #expect(world.shown(1, to: 2) == .online && world.shown(2, to: 1) == .online)
        // A stranger is told nothing, and their snapshot says so.
        #expect(world.shown(1, to: 3) == .nothing && world.updates(3) == 1)
        #expect(world.counts == PresenceCounts(users: 3, devices: 3, watching: 3))
    }

    @Test func whoLogsOutIsOfflineAtOnce() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let alice = world.joins(1)
        world.passes(100)
        world.logsOut(alice)
        #expect(world.counts.users == 1)
        world.passes(2)
        #expect(world.shown(1, to: 2) == .offline(world.minute(101)))
    }

    /// In a tunnel: a short one is not noticed, a long one is.
    @Test(arguments: [1, 15, 29]) func aShortBreakIsNotToldOf(seconds: Int) {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let alice = world.joins(1)
        world.passes(60)
        let before = world.updates(2)
        world.beats(alice)
        world.isLost(alice)
        world.passes(seconds)
        #expect(world.counts.users == 2)
        world.joins(1)
        world.passes(120)
        #expect(world.updates(2) == before && world.shown(1, to: 2) == .online)
    }

    @Test func aLongBreakIs() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let alice = world.joins(1)
        world.passes(60)
        world.beats(alice)
        let lost = world.tick
        world.isLost(alice)
        world.passes(29)
        #expect(world.shown(1, to: 2) == .online)
        world.passes(4)
        #expect(world.shown(1, to: 2) == .offline(world.minute(lost)))
        world.joins(1)
        world.passes(6)
        #expect(world.shown(1, to: 2) == .online)
    }

    @Test func aConnectionThatSaysNothingIsOfflineUntilItDoes() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let alice = world.joins(1)
        world.passes(60)
        world.fallsSilent(alice)
        world.passes(36)
        #expect(world.shown(1, to: 2) == .offline(world.minute(60)))
        // What others do is told to it all the same.
        world.befriend(1, [3])
        world.beats(alice)
        world.passes(6)
        #expect(world.shown(1, to: 2) == .online && world.counts.devices == 2)
    }

    @Test func whatHappensGoesToEveryContactThatWatches() {
        let world = Simulation()
        let contacts = 2...1001
        world.befriend(1, contacts)
        // Every second one only shares.
        for other in contacts { world.joins(other, watches: other % 2 == 0) }
        world.passes(10)
        let alice = world.joins(1)
        world.passes(3)
        #expect(contacts.allSatisfy { world.shown(1, to: $0) == ($0 % 2 == 0 ? .online : .nothing) })
        #expect(contacts.allSatisfy { world.shown($0, to: 1) == .online })
        world.logsOut(alice)
        world.passes(6)
        #expect(contacts.allSatisfy { world.shown(1, to: $0) == ($0 % 2 == 0 ? .offline(world.minute(14)) : .nothing) })
    }

    /// Of a group of a thousand, one asks: those are told of who would be told of anyway.
    @Test func aLargeGroupIsAskedFor() {
        let world = Simulation()
        world.befriend(1, 2...11)
        for member in 2...1000 { world.joins(member, watches: false) }
        world.shares(3, PresenceSharing(status: false))
        world.stored[4] = world.minute(1)
        world.passes(1)
        let found = world.onDemand(Set(1...1000), by: 1)
        #expect(Set(found.keys.map { Int($0.rawValue) }) == Set(2...11).subtracting([3]))
        #expect(found.values.allSatisfy { $0 == .online })
        // Who hides sees nobody.
        world.sharing[1] = PresenceSharing(status: false)
        #expect(world.onDemand(Set(1...1000), by: 1).isEmpty)
    }

    // MARK: Several devices

    @Test func aUserIsThereWhileOneDeviceIs() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let phone = world.joins(1, device: 100)
        let laptop = world.joins(1, device: 101)
        world.passes(10)
        let before = world.updates(2)
        world.logsOut(phone)
        world.passes(100)
        #expect(world.updates(2) == before && world.counts == PresenceCounts(users: 2, devices: 2, watching: 2))
        world.isLost(laptop)
        world.passes(20)
        #expect(world.shown(1, to: 2) == .online)
        world.passes(20)
        #expect(world.shown(1, to: 2) == .offline(world.minute(110)))
    }

    @Test func theNewerConnectionOfADeviceIsTheOneThatCounts() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let former = world.joins(1)
        world.passes(10)
        world.joins(1)
        // The former one ends when it has been replaced.
        world.logsOut(former)
        world.passes(100)
        #expect(world.shown(1, to: 2) == .online && world.counts.devices == 2)
    }

    @Test func whoOnlySharesIsToldNothing() {
        let world = Simulation()
        world.befriend(1, [2])
        let alice = world.joins(1, watches: false)
        world.joins(2)
        world.passes(5)
        #expect(world.updates(1) == 0 && world.shown(1, to: 2) == .online)
        world.join(alice, watches: true)
        world.passes(5)
        #expect(world.shown(2, to: 1) == .online)
        world.join(alice, watches: false)
        let before = world.updates(1)
        world.become(1, 2, contacts: false)
        world.passes(10)
        #expect(world.updates(1) == before)
    }

    // MARK: Who may know

    /// For the one who is blocked, or hidden from, it looks the same.
    @Test func aBlockLooksLikeHiding() {
        var seen: [[ShownPresence]] = []
        for blocks in [true, false] {
            let world = Simulation()
            world.befriend(1, [2])
            world.joins(2)
            let alice = world.joins(1)
            world.passes(10)
            var states = [world.shown(1, to: 2)]
            if blocks { world.become(1, 2, contacts: false) } else { world.shares(1, PresenceSharing(status: false)) }
            world.passes(6)
            states.append(world.shown(1, to: 2))
            world.logsOut(alice)
            world.passes(60)
            states.append(world.shown(1, to: 2))
            #expect(world.shown(2, to: 1) == .nothing)
            seen.append(states)
        }
        #expect(seen[0] == seen[1] && seen[0] == [.online, .nothing, .nothing])
    }

    @Test func afterABlockNothingIsTold() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let alice = world.joins(1)
        world.passes(10)
        world.become(1, 2, contacts: false)
        // Told with the next update, and nothing new from the block on.
        world.passes(2)
        let before = world.updates(2)
        #expect(world.shown(1, to: 2) == .nothing)
        world.logsOut(alice)
        world.passes(10)
        world.joins(1)
        world.passes(100)
        #expect(world.updates(2) == before)
        world.become(1, 2, contacts: true)
        world.passes(10)
        #expect(world.shown(1, to: 2) == .online && world.shown(2, to: 1) == .online)
    }

    /// The contacts are being read while the block is committed: the answer is older.
    @Test func aBlockIsNotLostWhileContactsAreRead() {
        let world = Simulation()
        world.befriend(1, [2, 3])
        world.joins(2)
        world.passes(5)
        world.holdsLoads = true
        world.joins(1)
        world.become(1, 2, contacts: false)
        world.shares(1, PresenceSharing(status: true, lastSeen: false))
        world.letLoadsThrough()
        world.joins(3)
        world.passes(10)
        #expect(world.shown(1, to: 2) == .nothing && world.shown(2, to: 1) == .nothing)
        #expect(world.shown(1, to: 3) == .online && world.shown(3, to: 1) == .online)
        #expect(!world.toSave().contains { $0.user == UserID(1) })
    }

    @Test func whoHidesDoesNotSee() {
        let world = Simulation()
        world.befriend(1, [2, 3])
        world.stored[3] = world.minute(1)
        world.joins(2)
        world.joins(1)
        world.passes(5)
        #expect(world.shown(2, to: 1) == .online && world.shown(3, to: 1) == .offline(world.minute(1)))
        world.shares(1, PresenceSharing(status: false))
        world.passes(5)
        #expect(world.shown(2, to: 1) == .nothing && world.shown(3, to: 1) == .nothing && world.shown(1, to: 2) == .nothing)
        // Only when it was: then nobody's last time is seen either.
        world.shares(1, PresenceSharing(status: true, lastSeen: false))
        world.passes(6)
        #expect(world.shown(2, to: 1) == .online && world.shown(3, to: 1) == .nothing && world.shown(1, to: 2) == .online)
        world.shares(1, PresenceSharing())
        world.passes(6)
        #expect(world.shown(3, to: 1) == .offline(world.minute(1)))
    }

    /// Contacts may have been told when they were last seen.
    @Test func whoIsAwayCanHide() {
        let world = Simulation()
        world.befriend(1, [2])
        world.stored[1] = world.minute(1)
        world.joins(2)
        world.passes(5)
        #expect(world.shown(1, to: 2) == .offline(world.minute(1)))
        world.shares(1, PresenceSharing(status: true, lastSeen: false))
        world.passes(3)
        #expect(world.shown(1, to: 2) == .nothing && world.counts.users == 1)
    }

    @Test func whoIsAwayAndChangesNothingIsShownAsBefore() {
        let world = Simulation()
        world.befriend(1, [2])
        world.stored[1] = world.minute(1)
        world.joins(2)
        world.passes(5)
        world.shares(1, PresenceSharing())
        world.passes(10)
        #expect(world.shown(1, to: 2) == .offline(world.minute(1)))
    }

    /// The contact's answer from the store is older, also when it comes very late.
    @Test(arguments: [10, Int(Limits.presenceLinger) + 20]) func whatIsHiddenWhileContactsAreReadIsNotTold(seconds: Int) {
        let world = Simulation()
        world.befriend(1, [2])
        let alice = world.joins(1)
        world.passes(5)
        world.logsOut(alice)
        world.save()
        // About to be forgotten.
        world.passes(Int(Limits.presenceLinger) - 2)
        world.holdsLoads = true
        world.joins(2)
        world.shares(1, PresenceSharing(status: false))
        world.passes(seconds)
        world.letLoadsThrough()
        world.passes(10)
        #expect(world.updates(2) == 1 && world.shown(1, to: 2) == .nothing)
    }

    /// The contact's answer from the store is older than what is stored meanwhile.
    @Test func whatIsStoredWhileContactsAreReadIsNewer() {
        let world = Simulation()
        world.befriend(1, [2])
        world.stored[1] = world.minute(1)
        let alice = world.joins(1)
        world.passes(100)
        world.logsOut(alice)
        world.passes(Int(Limits.presenceLinger) + 10)
        world.holdsLoads = true
        world.joins(2)
        world.save()
        world.letLoadsThrough()
        #expect(world.shown(1, to: 2) == .offline(world.minute(101)))
        world.passes(Int(Limits.presenceLinger))
        #expect(world.toSave().map(\.user) == [UserID(2)])
    }

    /// The same, when it is the user's own.
    @Test func whoChangesNothingWhileItIsReadIsShownAsBefore() {
        let world = Simulation()
        world.befriend(1, [2])
        world.stored[1] = world.minute(1)
        world.joins(2)
        world.passes(5)
        world.holdsLoads = true
        world.shares(1, PresenceSharing())
        world.shares(1, PresenceSharing())
        world.letLoadsThrough()
        world.passes(10)
        #expect(world.shown(1, to: 2) == .offline(world.minute(1)))
    }

    @Test func whatWasHiddenWhileItIsReadIsGone() {
        let world = Simulation()
        world.befriend(1, [2])
        world.stored[1] = world.minute(1)
        world.joins(2)
        world.passes(5)
        world.holdsLoads = true
        world.shares(1, PresenceSharing())
        world.shares(1, PresenceSharing(status: true, lastSeen: false))
        world.shares(1, PresenceSharing())
        world.letLoadsThrough()
        world.passes(10)
        #expect(world.shown(1, to: 2) == .nothing)
    }

    /// What was hidden is gone.
    @Test func whoHidesTheLastTimeAndShowsItAgainHasNone() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let alice = world.joins(1)
        world.passes(10)
        world.logsOut(alice)
        world.passes(10)
        #expect(world.shown(1, to: 2) == .offline(world.minute(11)))
        world.shares(1, PresenceSharing(status: true, lastSeen: false))
        world.passes(10)
        world.shares(1, PresenceSharing())
        world.passes(10)
        #expect(world.shown(1, to: 2) == .nothing && world.onDemand([1], by: 2).isEmpty)
    }

    /// The list that is being read is older than the new contact.
    @Test func aNewContactIsNotLostWhileContactsAreRead() {
        let world = Simulation()
        world.joins(2)
        world.passes(5)
        world.holdsLoads = true
        world.joins(1)
        world.become(1, 2, contacts: true)
        world.letLoadsThrough()
        world.passes(10)
        #expect(world.shown(1, to: 2) == .online && world.shown(2, to: 1) == .online)
    }

    @Test func whoHidesTheLastTimeIsJustOffline() {
        let world = Simulation()
        world.befriend(1, [2])
        world.sharing[1] = PresenceSharing(status: true, lastSeen: false)
        world.joins(2)
        let alice = world.joins(1)
        world.passes(10)
        #expect(world.shown(1, to: 2) == .online)
        world.logsOut(alice)
        world.passes(6)
        #expect(world.shown(1, to: 2) == .nothing && world.toSave().map(\.user) == [UserID(2)])
    }

    @Test func aDeviceThatIsPutOutIsOfflineAtOnce() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let alice = world.joins(1)
        world.passes(10)
        // Also one whose connection was lost a moment ago.
        world.isLost(alice)
        world.out(100)
        #expect(world.counts.users == 1)
        world.passes(2)
        #expect(world.shown(1, to: 2) == .offline(world.minute(11)))
    }

    // MARK: Coming and going

    /// A thousand contacts, a hundred times a minute: each contact is told a few times, and the store is read a few times.
    @Test func whoComesAndGoesIsToldOfNowAndThen() {
        let world = Simulation()
        world.befriend(1, 2...1001)
        for other in 2...1001 { world.joins(other) }
        world.passes(10)
        let before = (2...1001).map { world.updates($0) }
        let loads = world.loads
        for second in 0..<60 {
            for _ in 0..<(second % 3 == 0 ? 1 : 2) { world.logsOut(world.joins(1)) }
            world.passes(1)
        }
        let told = zip(2...1001, before).map { world.updates($0) - $1 }
        #expect((told.max() ?? 0) <= 60 / Int(Limits.presenceHold) + 1 && (told.min() ?? 0) >= 1)
        #expect(world.loads - loads <= 60 / Int(Limits.presenceReload) + 1)
        world.joins(1)
        world.passes(6)
        #expect((2...1001).allSatisfy { world.shown(1, to: $0) == .online })
    }

    /// The others have not noticed; but one asked meanwhile.
    @Test func whoIsSeenAsGoneIsSeenComingBack() {
        let world = Simulation()
        world.befriend(1, [2, 3])
        world.joins(2)
        world.passes(10)
        let alice = world.joins(1)
        world.passes(1)
        world.logsOut(alice)
        world.joins(3)
        #expect(world.shown(1, to: 2) == .online && world.shown(1, to: 3) == .offline(world.minute(12)))
        world.joins(1)
        world.passes(10)
        #expect(world.shown(1, to: 2) == .online && world.shown(1, to: 3) == .online)
    }

    @Test func whoIsSeenComingBackIsSeenGoing() {
        let world = Simulation()
        world.befriend(1, [2, 3])
        world.sharing[1] = PresenceSharing(status: true, lastSeen: false)
        world.joins(2)
        let former = world.joins(1)
        world.passes(10)
        world.logsOut(former)
        world.passes(2)
        let latter = world.joins(1)
        world.joins(3)
        #expect(world.shown(1, to: 2) == .nothing && world.shown(1, to: 3) == .online)
        world.logsOut(latter)
        world.passes(10)
        #expect(world.shown(1, to: 2) == .nothing && world.shown(1, to: 3) == .nothing)
    }

    /// Gone again before it is known who may know; one contact asked meanwhile.
    @Test func whoIsSeenBeforeAnybodyIsToldIsSeenGoing() {
        let world = Simulation()
        world.befriend(1, [2])
        world.sharing[1] = PresenceSharing(status: true, lastSeen: false)
        world.holdsLoads = true
        let alice = world.joins(1)
        world.joins(2)
        world.letLoadsThrough(of: 2)
        #expect(world.shown(1, to: 2) == .online)
        world.logsOut(alice)
        world.letLoadsThrough()
        world.passes(10)
        #expect(world.shown(1, to: 2) == .nothing)
    }

    /// One contact asks while the relay finds out who may know: nobody. An update that says nothing would tell that something happened.
    @Test func whoHidesComesAndGoesUnnoticed() {
        let world = Simulation()
        world.befriend(1, [2, 3])
        world.sharing[1] = PresenceSharing(status: false)
        world.joins(2)
        world.passes(10)
        let before = world.updates(2)
        world.holdsLoads = true
        let alice = world.joins(1)
        world.joins(3)
        world.letLoadsThrough(of: 3)
        world.letLoadsThrough()
        world.passes(10)
        world.logsOut(alice)
        world.joins(3)
        world.passes(10)
        #expect(world.updates(2) == before)
    }

    /// Also by a user who was about to be forgotten.
    @Test func aBreakAfterALogoutIsNoticedInTime() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        let former = world.joins(1)
        world.passes(29)
        world.logsOut(former)
        world.passes(3)
        world.isLost(world.joins(1))
        world.passes(30)
        #expect(world.counts.users == 2)
        world.passes(1)
        #expect(world.counts.users == 1)
    }

    /// Everybody comes and goes: a device hears of it at most every other second, of all together.
    @Test func aDeviceIsToldAtMostOnceInAnInterval() {
        let world = Simulation()
        world.befriend(1, 2...301)
        world.joins(1)
        world.passes(5)
        let before = world.updates(1)
        var seats: [Int: PresenceSeat] = [:]
        for second in 0..<60 {
            for other in 2...301 where other % 6 == second % 6 {
                if let seat = seats.removeValue(forKey: other) { world.logsOut(seat) } else { seats[other] = world.joins(other, watches: false) }
            }
            world.passes(1)
        }
        #expect(world.updates(1) - before <= 60 / Int(Limits.presenceInterval) + 1)
        world.passes(10)
        for other in 2...301 { #expect((world.shown(other, to: 1) == .online) == (seats[other] != nil)) }
    }

    /// A device that takes nothing gets the newest when it does, and not what came between.
    @Test func aSlowDeviceIsToldTheNewest() {
        let world = Simulation()
        world.befriend(1, [2, 3])
        world.joins(1)
        world.passes(5)
        world.full = [DeviceID(100)]
        let bob = world.joins(2)
        world.passes(10)
        world.logsOut(bob)
        world.joins(3)
        world.passes(20)
        let before = world.updates(1)
        world.full = []
        world.passes(3)
        #expect(world.updates(1) == before + 1)
        #expect(world.shown(2, to: 1) == .offline(world.minute(16)) && world.shown(3, to: 1) == .online)
    }

    @Test func aSlowDeviceGetsItsSnapshotLater() {
        let world = Simulation()
        world.befriend(1, [2])
        world.joins(2)
        world.passes(5)
        world.full = [DeviceID(100)]
        world.joins(1)
        world.passes(10)
        world.full = []
        world.passes(3)
        #expect(world.shown(2, to: 1) == .online && world.told[DeviceID(100)]?.first?.isSnapshot == true && world.updates(1) == 1)
    }

    // MARK: What is stored

    @Test func afterARestartNobodyIsThereAndTheLastTimeIsKnown() {
        let before = Simulation()
        before.befriend(1, [2])
        before.joins(1)
        let bob = before.joins(2)
        before.passes(100)
        before.logsOut(bob)
        before.passes(100)
        before.save()
        #expect(before.stored == [1: before.minute(200), 2: before.minute(101)])
        // Nothing is stored twice.
        before.passes(1)
        #expect(before.toSave().map(\.user) == [UserID(1)])

        let after = Simulation()
        after.contacts = before.contacts
        after.stored = before.stored
        after.joins(2)
        after.passes(5)
        #expect(after.shown(1, to: 2) == .offline(before.minute(200)) && after.counts.users == 1)
        after.joins(1)
        after.passes(2)
        #expect(after.shown(1, to: 2) == .online)
    }

    @Test func whoHasGoneIsForgotten() {
        let world = Simulation()
        world.befriend(1, [2])
        world.logsOut(world.joins(1))
        world.passes(Int(Limits.presenceLinger) + 5)
        world.joins(2)
        world.passes(5)
        // Not stored yet, and no longer in memory but for that.
        #expect(world.shown(1, to: 2) == .offline(world.minute(1)))
        world.save()
        world.joins(2, device: 201)
        world.passes(10)
        #expect(world.shown(1, toDevice: 201) == .offline(world.minute(1)))
    }

    // MARK: Anything

    /// Whatever happens: once it is quiet, everybody knows exactly what they may know. The first seeds failed once.
    @Test func whenItIsQuietEverybodyKnowsHowItIs() throws {
        for seed in [12_356_152_130_525_853_301, 9_039_679_336_480_130_561] + (0..<20).map({ _ in UInt64.random(in: .min ... .max) }) {
            var generator = SeededGenerator(seed: seed)
            // What is of no account for who is there: of its own, so that the seeds stay what they were.
            var nuisance = SeededGenerator(seed: ~seed)
            let world = Simulation()
            var seats: [Int: PresenceSeat] = [:]
            var hidden: [Int: PresenceSharing] = [:]
            for user in 1...12 { world.befriend(user, (1...12).filter { $0 > user && ($0 * user) % 3 != 0 }) }
            for _ in 0..<400 {
                let user = Int.random(in: 1...12, using: &generator)
                let device = user * 100 + Int.random(in: 0...1, using: &generator)
                switch Int.random(in: 0..<12, using: &generator) {
                case 0..<3: seats[device] = world.joins(user, device: device)
                case 3..<5: if let seat = seats.removeValue(forKey: device) { world.logsOut(seat) }
                case 5: if let seat = seats.removeValue(forKey: device) { world.isLost(seat) }
                case 6: if let seat = seats[device] { world.fallsSilent(seat) }
                case 7:
                    let other = Int.random(in: 1...12, using: &generator)
                    if other != user { world.become(user, other, contacts: Bool.random(using: &generator)) }
                case 8:
                    hidden[user] = PresenceSharing(hides: Int64.random(in: 0...3, using: &generator))
                    world.shares(user, hidden[user] ?? PresenceSharing())
                case 9: world.holdsLoads = true
                case 10: world.letLoadsThrough()
                default: world.passes(Int.random(in: 1...40, using: &generator))
                }
                switch Int.random(in: 0..<40, using: &nuisance) {
                case 0: world.full.insert(DeviceID(UInt64(device)))
                case 1: world.full = []
                case 2: world.save()
                default: break
                }
            }
            world.full = []
            world.letLoadsThrough()
            for (_, seat) in seats.sorted(by: { $0.key < $1.key }) { world.beats(seat) }
            world.passes(120)
            for device in seats.keys {
                let user = device / 100
                let now = world.onDemand(Set(1...12), by: user)
                for other in 1...12 where other != user {
                    let both = (hidden[user] ?? PresenceSharing()).and(hidden[other] ?? PresenceSharing())
                    let may = world.contacts[user]?.contains(other) == true && both.status
                    let isThere = seats.keys.contains { $0 / 100 == other }
                    let shown = world.shown(other, toDevice: device)
                    switch shown {
                    case .online: #expect(may && isThere, "\(other) to \(device), seed \(seed)")
                    case .offline(let lastSeen):
                        #expect(!may || !isThere, "\(other) to \(device), seed \(seed)")
                        if lastSeen != nil { #expect(may && both.lastSeen, "\(other) to \(device), seed \(seed)") }
                    }
                    // Who asks is told the same.
                    #expect(now[UserID(UInt64(other))] ?? .nothing == shown, "\(other) to \(device), seed \(seed)")
                }
            }
        }
    }
}
