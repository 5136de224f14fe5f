import NIOCore
import RelayModel
import RelayStorage
import Synchronization

/// When something happens: the relay's own measure of time, and what people read.
struct PresenceMoment {
    /// Rises by one a second while the relay runs; from 1 on.
    var tick: UInt32
    var wall: Timestamp

    /// What others are told of a tick that has passed.
    func minute(of earlier: UInt32) -> Timestamp {
        let milliseconds = wall.milliseconds - Int64(tick - min(tick, earlier)) * 1000
        return Timestamp(milliseconds: milliseconds - milliseconds % Limits.lastSeenMilliseconds)
    }
}

/// Who is there, who may know, and who is to be told: events in, actions out. Pure but for the signs of life, which it reads where connections leave
/// them. Confined to whoever has it.
///
/// Being a contact is mutual, so one list serves both ways: a user's contacts are those whom their devices watch, and those whose devices are told of
/// them. Only users of whom a device takes part are in memory, with their lists.
struct PresenceState: ~Copyable {
    private let offlineAfter: UInt32
    private var people: [UserID: Person] = [:]
    private var users: [DeviceID: UserID] = [:]
    private var wheel: TimerWheel<UserID>
    /// Users whose time is up: looked at in slices.
    private var due = CircularBuffer<UserID>()
    /// Users of whom something may have to be told, devices that are to be told something, users whose contacts are to be read. Each tick looks at all
    /// in each list once, in slices; whoever must wait goes to the end. `…Turn`: how many are still to be looked at.
    private var changed = CircularBuffer<Person>()
    private var changedTurn = 0
    private var waiting = CircularBuffer<Device>()
    private var waitingTurn = 0
    private var loads = CircularBuffer<Person>()
    private var loadsTurn = 0
    private var loading = 0
    /// When users who have gone were last there: until that is stored, and what was read before has come.
    private var gone: [UserID: Gone] = [:]

    /// A user of whom a device takes part, or did a moment ago.
    private final class Person {
        let user: UserID
        var devices: [Device] = []
        /// Rising.
        var contacts: [UserID] = []
        /// Until the contacts have been read it is not known what may be told.
        var isLoaded = false
        var loadedAt: UInt32?
        var load = Load.none
        /// When the read that is running began.
        var askedAt: UInt32 = 0
        var sharing = PresenceSharing(status: false, lastSeen: false)
        /// What was decided while the contacts were being read: it is newer.
        var decided: [UserID: Bool] = [:]
        var decidedSharing: PresenceSharing?
        /// The last time was hidden meanwhile: that which was read is not to be told, whatever was decided after that.
        var hidMeanwhile = false
        var isOnline = false
        /// When the last device went.
        var wentAt: UInt32 = 0
        var lastSeen: Timestamp?
        /// What others were told last, and when.
        var told = ShownPresence.nothing
        var toldAt: UInt32?
        /// They are told also when it is as they were told last: what the user shares has changed, or somebody has seen it otherwise meanwhile.
        var mustTell = false
        var isListed = false
        var timer: TimerWheel<UserID>.Timer?
        /// When the timer fires.
        var due: UInt32 = 0

        init(_ user: UserID) { self.user = user }

        var isWatching: Bool { devices.contains { $0.watches } }
    }

    private struct Gone {
        var at: Timestamp
        var storedAt: UInt32?
    }

    private enum Load { case none, wanted, running }

    /// A device that takes part, or whose connection was lost a moment ago.
    private final class Device {
        let seat: PresenceSeat
        let person: Person
        /// The connection is there.
        var isAttached = true
        /// Something was heard of it in time.
        var isAlive = true
        var watches = false
        /// The user's contacts have to be read before anything is told.
        var needsSnapshot = false
        /// What is waiting is everything.
        var isSnapshot = false
        /// What is to be told: the newest of each.
        var pending: [UserID: ShownPresence] = [:]
        var sentAt: UInt32?
        var isWaiting = false

        init(_ seat: PresenceSeat, _ person: Person) {
            self.seat = seat
            self.person = person
        }
    }

    /// - Parameter offlineAfter: ticks.
    init(offlineAfter: UInt32, now: UInt32) {
        self.offlineAfter = offlineAfter
        wheel = TimerWheel(slots: Limits.presenceWheelSlots, now: now)
    }

    // MARK: Devices

    /// A device takes part from now on, or in another way than before.
    mutating func join(_ seat: PresenceSeat, watches: Bool, _ now: PresenceMoment) {
        let person = remember(seat.user)
        let device: Device
        let place = person.devices.firstIndex { $0.seat.device == seat.device }
        if let place, person.devices[place].seat === seat {
            device = person.devices[place]
        } else {
            device = Device(seat, person)
            if let place {
                forget(person.devices[place])
                person.devices[place] = device
            } else {
                person.devices.append(device)
            }
            users[seat.device] = seat.user
        }
        seat.heard.store(now.tick, ordering: .relaxed)
        device.isAlive = true
        device.watches = watches
        device.needsSnapshot = watches
        device.pending = [:]
        device.isSnapshot = false
        if watches || !person.isLoaded { wantLoad(person) }
        look(at: person, now)
        schedule(person, by: now.tick + offlineAfter + 1)
    }

    /// A connection has ended, or its device does not take part any more.
    /// - Parameter loggedOut: it said so; otherwise it may come back before anybody notices.
    mutating func leave(_ seat: PresenceSeat, loggedOut: Bool, _ now: PresenceMoment) {
        guard let person = people[seat.user], let place = person.devices.firstIndex(where: { $0.seat === seat }) else { return }
        let device = person.devices[place]
        forget(device)
        if loggedOut || !device.isAlive {
            remove(place, of: person)
            if loggedOut { person.wentAt = max(person.wentAt, now.tick) }
        }
        look(at: person, now)
        schedule(person, by: now.tick + Limits.presenceLinger)
    }

    /// These devices may not be connected any more.
    mutating func out(_ devices: [DeviceID], _ now: PresenceMoment) {
        for id in devices {
            guard let user = users[id], let person = people[user], let place = person.devices.firstIndex(where: { $0.seat.device == id }) else {
                continue
            }
            forget(person.devices[place])
            remove(place, of: person)
            person.wentAt = max(person.wentAt, now.tick)
            look(at: person, now)
            schedule(person, by: now.tick + Limits.presenceLinger)
        }
    }

    /// Something was heard of a device that had been given up.
    mutating func revived(_ seat: PresenceSeat, _ now: PresenceMoment) {
        guard let person = people[seat.user], let device = person.devices.first(where: { $0.seat === seat }), !device.isAlive else { return }
        device.isAlive = true
        look(at: person, now)
        schedule(person, by: now.tick + offlineAfter + 1)
    }

    /// It is not told anything any more.
    private func forget(_ device: Device) {
        device.isAttached = false
        device.watches = false
        device.needsSnapshot = false
        device.isSnapshot = false
        device.pending = [:]
    }

    private mutating func remove(_ place: Int, of person: Person) {
        users[person.devices[place].seat.device] = nil
        person.devices.remove(at: place)
    }

    private mutating func remember(_ user: UserID) -> Person {
        if let person = people[user] { return person }
        let person = Person(user)
        person.lastSeen = gone[user]?.at
        people[user] = person
        return person
    }

    /// Whether the user is there may have changed.
    private mutating func look(at person: Person, _ now: PresenceMoment) {
        let isOnline = person.devices.contains { $0.isAlive }
        guard isOnline != person.isOnline else { return }
        person.isOnline = isOnline
        if !isOnline {
            let keeps = !person.isLoaded || person.sharing.tellsLastSeen
            person.lastSeen = keeps ? now.minute(of: person.wentAt) : nil
            if let lastSeen = person.lastSeen { gone[person.user] = Gone(at: lastSeen) }
        }
        list(person)
    }

    private mutating func list(_ person: Person) {
        guard !person.isListed else { return }
        person.isListed = true
        changed.append(person)
        changedTurn += 1
    }

    /// The user is looked at then at the latest.
    private mutating func schedule(_ person: Person, by tick: UInt32) {
        if let timer = person.timer {
            guard tick < person.due else { return }
            wheel.cancel(timer)
        }
        person.timer = wheel.schedule(person.user, at: tick)
        person.due = tick
    }

    /// The user's time is up: who was not heard of is given up.
    private mutating func check(_ user: UserID, _ now: PresenceMoment) {
        guard let person = people[user] else { return }
        person.timer = nil
        var next = UInt32.max
        var place = 0
        while place < person.devices.count {
            let device = person.devices[place]
            let heard = device.seat.heard.load(ordering: .relaxed)
            if !device.isAlive {
                place += 1
            } else if now.tick <= heard + offlineAfter {
                next = min(next, heard + offlineAfter + 1)
                place += 1
            } else if device.seat.heard.compareExchange(expected: heard, desired: PresenceSeat.silent, ordering: .relaxed).exchanged {
                device.isAlive = false
                person.wentAt = max(person.wentAt, heard)
                if device.isAttached { place += 1 } else { remove(place, of: person) }
            }
            // Otherwise something was heard this moment: look once more.
        }
        look(at: person, now)
        if next < .max { return schedule(person, by: next) }
        guard person.devices.isEmpty else { return }
        // What is being read may be older than what is known here: so what was told last is remembered as well until it has been read.
        let until = max(person.wentAt, person.toldAt ?? 0) + Limits.presenceLinger
        if person.isListed || person.load != .none || now.tick < until {
            schedule(person, by: max(now.tick + 1, until))
        } else {
            people[user] = nil
        }
    }

    // MARK: Contacts

    /// Two users have become contacts, or are none any more: also because one blocks the other.
    mutating func contact(_ user: UserID, _ peer: UserID, accepted: Bool) {
        contact(of: user, peer, accepted)
        contact(of: peer, user, accepted)
    }

    private mutating func contact(of user: UserID, _ peer: UserID, _ accepted: Bool) {
        guard let person = people[user] else { return }
        if person.load == .running { person.decided[peer] = accepted }
        guard person.isLoaded else { return }
        let place = person.contacts.lowerBound(of: peer)
        let isThere = place < person.contacts.count && person.contacts[place] == peer
        if accepted {
            guard !isThere else { return }
            person.contacts.insert(peer, at: place)
            readAnew(person)
        } else {
            if isThere { person.contacts.remove(at: place) }
            // Also when the list that was read last knew it already: an update may have overtaken it.
            for device in person.devices where device.watches { tell(device, of: peer, .nothing) }
        }
    }

    /// A user shares something else than before.
    mutating func share(_ user: UserID, _ sharing: PresenceSharing, _ now: PresenceMoment) {
        // Who is away was seen at some time, which contacts may have been told.
        let person = remember(user)
        if !sharing.tellsLastSeen { forgetLastSeen(of: person) }
        if person.load == .running {
            person.decidedSharing = sharing
            if !sharing.tellsLastSeen { person.hidMeanwhile = true }
        }
        if !person.isLoaded { wantLoad(person) }
        schedule(person, by: now.tick + Limits.presenceLinger)
        if person.isLoaded, person.sharing == sharing { return }
        person.sharing = sharing
        person.mustTell = true
        person.toldAt = nil
        list(person)
        // What they see of others has changed as much.
        person.loadedAt = nil
        readAnew(person)
    }

    /// What is hidden is not kept: nor is it there again when the user shows it later.
    private mutating func forgetLastSeen(of person: Person) {
        person.lastSeen = nil
        gone[person.user] = nil
    }

    /// The user's devices are told everything once more: what it needs is in the store.
    private mutating func readAnew(_ person: Person) {
        guard person.isLoaded, person.isWatching else { return }
        for device in person.devices where device.watches {
            device.needsSnapshot = true
            device.isSnapshot = false
            device.pending = [:]
        }
        wantLoad(person)
    }

    private mutating func wantLoad(_ person: Person) {
        guard person.load == .none else { return }
        person.load = .wanted
        loads.append(person)
        loadsTurn += 1
    }

    /// A user's contacts have been read. Nil: the user is gone, or the store cannot be read.
    mutating func loaded(_ user: UserID, _ audience: PresenceAudience?, _ now: PresenceMoment) {
        loading -= 1
        loadsTurn = loads.count
        guard let person = people[user] else { return }
        person.load = .none
        defer {
            person.decided = [:]
            person.decidedSharing = nil
            person.hidMeanwhile = false
        }
        person.loadedAt = now.tick
        guard let audience else {
            // Who joined keeps being looked for: the relay ends when its store fails.
            if person.devices.contains(where: \.isAttached) { wantLoad(person) }
            return
        }
        // Older than what was forgotten meanwhile: a user who hides now may be shown in it.
        guard now.tick - person.askedAt < Limits.presenceLinger else { return wantLoad(person) }
        person.isLoaded = true
        person.sharing = person.decidedSharing ?? audience.own.sharing
        if !person.sharing.tellsLastSeen {
            forgetLastSeen(of: person)
        } else if person.lastSeen == nil, !person.hidMeanwhile {
            // From before the user was in memory.
            person.lastSeen = audience.own.lastSeen
        }
        var contacts = audience.contacts.map(\.user)
        var lacks = false
        for (peer, accepted) in person.decided {
            let place = contacts.lowerBound(of: peer)
            let isThere = place < contacts.count && contacts[place] == peer
            if accepted, !isThere {
                contacts.insert(peer, at: place)
                lacks = true
            }
            if !accepted, isThere { contacts.remove(at: place) }
        }
        person.contacts = contacts
        var everything: [UserID: ShownPresence]?
        for device in person.devices where device.watches && device.needsSnapshot {
            let all = everything ?? snapshot(audience.contacts.filter { person.decided[$0.user] != false }, for: person.sharing)
            everything = all
            device.needsSnapshot = false
            device.isSnapshot = true
            device.pending = all
            wait(device)
        }
        // Of a contact that is newer than what was read nothing is known yet.
        if lacks { readAnew(person) }
    }

    /// Those of whom there is something to tell.
    borrowing func snapshot(_ rows: [PresenceRow], for sharing: PresenceSharing) -> [UserID: ShownPresence] {
        var all: [UserID: ShownPresence] = [:]
        for row in rows {
            let shown = shown(row, to: sharing)
            if shown != .nothing { all[row.user] = shown }
        }
        return all
    }

    /// When a user was last there, as far as that is in memory.
    borrowing func lastSeen(of user: UserID, _ now: PresenceMoment) -> Timestamp? {
        guard let person = people[user] else { return gone[user]?.at }
        return person.isOnline ? now.minute(of: heard(person)) : person.lastSeen
    }

    private borrowing func shown(_ row: PresenceRow, to viewer: PresenceSharing) -> ShownPresence {
        guard let person = people[row.user] else {
            var row = row
            if let newer = gone[row.user] { row.lastSeen = newer.at }
            return PresenceState.shown(false, row.lastSeen, row.sharing.and(viewer))
        }
        let sharing = person.isLoaded ? person.sharing : row.sharing
        let lastSeen = person.isLoaded ? person.lastSeen : person.lastSeen ?? row.lastSeen
        // Not told to the others yet. It never is when it is soon as it was: then this viewer has to be told nevertheless. Of what is hidden now as
        // before nobody is told: an update would tell that something has happened.
        if person.isListed, viewer.status, PresenceState.shown(person.isOnline, lastSeen, sharing) != person.told { person.mustTell = true }
        return PresenceState.shown(person.isOnline, lastSeen, sharing.and(viewer))
    }

    private static func shown(_ isOnline: Bool, _ lastSeen: Timestamp?, _ sharing: PresenceSharing) -> ShownPresence {
        guard sharing.status else { return .nothing }
        return isOnline ? .online : .offline(sharing.lastSeen ? lastSeen : nil)
    }

    private func heard(_ person: Person) -> UInt32 {
        person.devices.reduce(person.wentAt) { max($0, $1.isAlive ? $1.seat.heard.load(ordering: .relaxed) : 0) }
    }

    // MARK: Telling

    private mutating func tell(_ device: Device, of user: UserID, _ shown: ShownPresence) {
        // The snapshot will have it.
        guard !device.needsSnapshot else { return }
        device.pending[user] = shown
        wait(device)
    }

    private mutating func wait(_ device: Device) {
        guard !device.isWaiting else { return }
        device.isWaiting = true
        waiting.append(device)
        waitingTurn += 1
    }

    /// Tells a user's contacts how it is now, unless they know.
    /// - Returns: how many contacts were looked at; nil when it must wait.
    private mutating func publish(_ person: Person, _ now: PresenceMoment) -> Int? {
        guard person.isLoaded else {
            // Nobody reads the contacts of somebody who came and went.
            return person.load == .none ? 0 : nil
        }
        if let toldAt = person.toldAt, now.tick - toldAt < Limits.presenceHold { return nil }
        let shown = PresenceState.shown(person.isOnline, person.lastSeen, person.sharing)
        guard person.mustTell || person.told != shown else { return 0 }
        person.told = shown
        person.toldAt = now.tick
        person.mustTell = false
        for contact in person.contacts {
            guard let viewer = people[contact], viewer.isLoaded else { continue }
            var own: ShownPresence?
            for device in viewer.devices where device.watches {
                let what = own ?? PresenceState.shown(person.isOnline, person.lastSeen, person.sharing.and(viewer.sharing))
                own = what
                tell(device, of: person.user, what)
            }
        }
        return person.contacts.count
    }

    // MARK: Time

    /// Goes on to a tick: what is due is done by the next ``take(_:)``.
    mutating func advance(to tick: UInt32) {
        due.append(contentsOf: wheel.advance(to: tick))
        changedTurn = changed.count
        waitingTurn = waiting.count
        loadsTurn = loads.count
    }

    struct Actions: Sendable {
        var updates: [PresenceUpdate] = []
        /// Users whose contacts are to be read; ``loaded(_:_:_:)`` takes them.
        var loads: [UserID] = []
        /// There is more to do now.
        var more = false
    }

    /// Contacts of users are being read.
    var isReading: Bool { loading > 0 }

    /// Does a slice of what there is to do.
    mutating func take(_ now: PresenceMoment) -> Actions {
        var actions = Actions()
        var budget = Limits.presenceSlice
        while budget > 0, let user = due.popFirst() {
            check(user, now)
            budget -= 4
        }
        while budget > 0, changedTurn > 0, let person = changed.popFirst() {
            changedTurn -= 1
            budget -= 1
            if let cost = publish(person, now) {
                person.isListed = false
                budget -= cost
            } else {
                changed.append(person)
            }
        }
        while loading < Limits.presenceLoads, loadsTurn > 0, let person = loads.popFirst() {
            loadsTurn -= 1
            if let loadedAt = person.loadedAt, now.tick - loadedAt < Limits.presenceReload {
                loads.append(person)
                continue
            }
            person.load = .running
            person.askedAt = now.tick
            loading += 1
            actions.loads.append(person.user)
        }
        while budget > 0, waitingTurn > 0, actions.updates.count < Limits.fanOutSlice, let device = waiting.popFirst() {
            waitingTurn -= 1
            budget -= 1 + device.pending.count
            emit(device, into: &actions, now)
        }
        let canLoad = loading < Limits.presenceLoads && loadsTurn > 0
        actions.more = !due.isEmpty || changedTurn > 0 || waitingTurn > 0 || canLoad
        return actions
    }

    private mutating func emit(_ device: Device, into actions: inout Actions, _ now: PresenceMoment) {
        device.isWaiting = false
        guard device.watches, !device.needsSnapshot, device.isSnapshot || !device.pending.isEmpty else { return }
        if !device.isSnapshot, let sentAt = device.sentAt, now.tick - sentAt < Limits.presenceInterval {
            device.isWaiting = true
            waiting.append(device)
            return
        }
        actions.updates.append(PresenceUpdate(seat: device.seat, isSnapshot: device.isSnapshot, users: device.pending))
        device.isSnapshot = false
        device.pending = [:]
        device.sentAt = now.tick
    }

    /// Their sockets took no more: they are told later, and then what is so then.
    mutating func putBack(_ updates: [PresenceUpdate]) {
        for update in updates {
            guard let device = people[update.seat.user]?.devices.first(where: { $0.seat === update.seat }), device.watches, !device.needsSnapshot,
                !device.isSnapshot
            else { continue }
            device.pending.merge(update.users) { newer, _ in newer }
            device.isSnapshot = update.isSnapshot
            guard !device.isWaiting else { continue }
            // With the next tick: it does not count as a turn of this one.
            device.isWaiting = true
            waiting.append(device)
        }
    }

    // MARK: What is stored

    /// Users about whom there is something to store.
    mutating func usersToSave(_ now: PresenceMoment) -> [UserID] {
        gone = gone.filter { _, last in last.storedAt.map { now.tick - $0 < Limits.presenceLinger } ?? true }
        return people.values.lazy.filter { $0.isOnline && $0.isLoaded && $0.sharing.tellsLastSeen }.map(\.user)
            + gone.lazy.filter { $0.value.storedAt == nil }.map(\.key)
    }

    /// When these were last there, as of now.
    borrowing func lastSeen(of users: some Sequence<UserID>, _ now: PresenceMoment) -> [LastSeen] {
        users.compactMap { user in
            if let person = people[user], person.isOnline {
                guard person.isLoaded, person.sharing.tellsLastSeen else { return nil }
                return LastSeen(user: user, at: now.minute(of: heard(person)))
            }
            return gone[user].map { LastSeen(user: user, at: $0.at) }
        }
    }

    mutating func saved(_ entries: [LastSeen], _ now: PresenceMoment) {
        for entry in entries where gone[entry.user]?.at == entry.at { gone[entry.user]?.storedAt = now.tick }
    }

    // MARK: For the operator

    var counts: PresenceCounts {
        var counts = PresenceCounts()
        for person in people.values where person.isOnline {
            counts.users += 1
            for device in person.devices where device.isAlive {
                counts.devices += 1
                if device.watches { counts.watching += 1 }
            }
        }
        return counts
    }
}

extension [UserID] {
    /// The first place of a rising list whose element is not below `user`.
    fileprivate func lowerBound(of user: UserID) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < user { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
