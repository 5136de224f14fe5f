import RelayModel
import RelayStorage
import Synchronization

/// Why presence refuses.
package enum PresenceError: Error, Sendable {
    /// There is no such group, or the user is not in it.
    case groupUnknown
    case userUnknown
    case overloaded
    case stopping
    case storeFailed
}

/// Who is there: hears of devices, tells those who may know, and stores when users were last there.
///
/// Any thread. What the parts know is behind one mutex, which messages never take: a sign of life is a store into the device's seat. ``run()`` is the
/// only one that tells anybody anything, so that each device hears things in their order.
package final class Presence: Sendable {
    package let terms: PresenceTerms
    private let writer: Writer
    private let readers: ReaderPool
    private let clock: any WallClock
    private let monotonic: any MonotonicClock
    private let tick: Atomic<UInt32>
    private let inner: Mutex<Inner>
    private let signals = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    private struct Inner: ~Copyable {
        var state: PresenceState
        var tick: UInt32
        /// When the tick began, in nanoseconds.
        var began: Int64
    }

    package init(writer: Writer, readers: ReaderPool, clock: any WallClock, monotonic: any MonotonicClock, terms: PresenceTerms = PresenceTerms()) {
        self.terms = terms
        self.writer = writer
        self.readers = readers
        self.clock = clock
        self.monotonic = monotonic
        let offlineAfter = UInt32(clamping: terms.offlineAfter.nanoseconds / Limits.presenceTick.nanoseconds)
        tick = Atomic(1)
        inner = Mutex(Inner(state: PresenceState(offlineAfter: offlineAfter, now: 1), tick: 1, began: monotonic.nanoseconds()))
    }

    // MARK: Devices

    /// Something came from a device that takes part. No lock: two loads, and once a tick a store.
    package func heard(_ seat: PresenceSeat) {
        let now = tick.load(ordering: .relaxed)
        guard seat.heard.load(ordering: .relaxed) != now else { return }
        if seat.heard.exchange(now, ordering: .relaxed) == PresenceSeat.silent { change { $0.revived(seat, $1) } }
    }

    /// A device takes part from now on, or in another way than before. ``PresenceMode/leave`` is for ``leave(_:loggedOut:)``.
    package func join(_ seat: PresenceSeat, _ mode: PresenceMode) {
        change { $0.join(seat, watches: mode == .watch, $1) }
        signal()
    }

    /// A connection has ended, or its device does not take part any more.
    package func leave(_ seat: PresenceSeat, loggedOut: Bool) { change { $0.leave(seat, loggedOut: loggedOut, $1) } }

    /// These devices were revoked, or their users suspended.
    package func out(_ devices: [DeviceID]) { change { $0.out(devices, $1) } }

    /// Contacts changed, as their users are told it: whoever is told that messages pass may see the other one. Called after the commit, in the order
    /// of the commits.
    package func contacts(_ changes: [ContactChange]) {
        change { state, _ in
            for change in changes { state.contact(change.user, change.row.peer, accepted: change.row.state == .accepted) }
        }
        signal()
    }

    private func change(_ body: (inout PresenceState, PresenceMoment) -> Void) {
        let wall = clock.now()
        inner.withLock { body(&$0.state, PresenceMoment(tick: $0.tick, wall: wall)) }
    }

    private func signal() { signals.continuation.yield() }

    // MARK: What users ask

    /// Changes what a user shares; nil: as it was. Holds for all that is told after this.
    package func share(_ command: SetPresence) async throws(PresenceError) -> PresenceSharing {
        let outcome: Outcome
        do throws(WriterError) {
            outcome = try await writer.perform(.setPresence(command)) { outcome in
                guard case .presenceSet(let sharing) = outcome else { return }
                self.change { $0.share(command.user, sharing, $1) }
                self.signal()
            }
        } catch {
            throw switch error {
            case .overloaded: .overloaded
            case .stopping: .stopping
            case .storeFailed: .storeFailed
            }
        }
        guard case .presenceSet(let sharing) = outcome else { throw .userUnknown }
        return sharing
    }

    package func sharing(of user: UserID) async throws(PresenceError) -> PresenceSharing {
        guard let row = try await look({ try $0.presence(of: user) }) else { throw .userUnknown }
        return row.sharing
    }

    /// Of the members of a group those whom the user may see, and of whom there is something to tell.
    package func presence(in chat: ChatID, for user: UserID) async throws(PresenceError) -> [UserID: ShownPresence] {
        guard let audience = try await look({ try $0.presenceAudience(of: user, in: chat) }) else { throw .groupUnknown }
        return inner.withLock { $0.state.snapshot(audience.contacts, for: audience.own.sharing) }
    }

    /// When a user was last there, when that is not in the store yet. Whether it may be told is for the caller to know.
    package func lastSeen(of user: UserID) -> Timestamp? {
        let wall = clock.now()
        return inner.withLock { $0.state.lastSeen(of: user, PresenceMoment(tick: $0.tick, wall: wall)) }
    }

    package var counts: PresenceCounts { inner.withLock { $0.state.counts } }

    private func look<Result: Sendable>(_ body: @escaping @Sendable (Reader) throws -> Result) async throws(PresenceError) -> Result {
        do { return try await readers.read(body) } catch WriterError.overloaded { throw .overloaded } catch WriterError.stopping {
            throw .stopping
        } catch { throw .storeFailed }
    }

    // MARK: Time

    /// Looks every tick at what is due, tells what is to be told, and now and then stores when users were last there; until it is cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    // Fails only when the task is cancelled.
                    try? await Task.sleep(for: Limits.presenceTick)
                    self.signal()
                }
            }
            group.addTask {
                for await _ in self.signals.stream {
                    if Task.isCancelled { return }
                    await self.turn()
                }
            }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Limits.lastSeenInterval)
                    if !Task.isCancelled { await self.save() }
                }
            }
        }
    }

    /// Does all that there is to do now. One at a time.
    func turn() async {
        advance()
        while true {
            let wall = clock.now()
            let actions = inner.withLock { $0.state.take(PresenceMoment(tick: $0.tick, wall: wall)) }
            for user in actions.loads { load(user) }
            await deliver(actions.updates)
            guard actions.more else { return }
        }
    }

    /// While the relay did not run, devices could not be heard: such time does not count.
    private func advance() {
        let now = monotonic.nanoseconds()
        let length = Limits.presenceTick.nanoseconds
        let tick: UInt32? = inner.withLock { inner in
            let passed = (now - inner.began) / length
            guard passed > 0 else { return nil }
            inner.began += passed * length
            inner.tick += UInt32(min(passed, Limits.presenceTicksAtOnce))
            inner.state.advance(to: inner.tick)
            return inner.tick
        }
        if let tick { self.tick.store(tick, ordering: .relaxed) }
    }

    private func load(_ user: UserID) {
        readers.read({ try $0.presenceAudience(of: user) }) { result in
            let audience = (try? result.get()) ?? nil
            self.change { $0.loaded(user, audience, $1) }
            self.signal()
        }
    }

    /// Waits until every list of contacts that is being read has come. Not beside ``run()``.
    /// - Returns: false when there was none.
    func reads() async -> Bool {
        guard inner.withLock({ $0.state.isReading }) else { return false }
        for await _ in signals.stream where !inner.withLock({ $0.state.isReading }) { break }
        return true
    }

    private func deliver(_ updates: [PresenceUpdate]) async {
        guard !updates.isEmpty else { return }
        var lanes: [ObjectIdentifier: [PresenceUpdate]] = [:]
        for update in updates { lanes[ObjectIdentifier(update.seat.lane), default: []].append(update) }
        for list in lanes.values {
            guard let lane = list.first?.seat.lane else { continue }
            // Waits for the loop, so that a crowd is told in slices, between which others get their turn.
            let refused = await lane.deliver(list)
            if !refused.isEmpty { inner.withLock { $0.state.putBack(refused) } }
        }
    }

    // MARK: What is stored

    /// Stores when users were last there, those included who are there now. To be called before the store closes as well.
    package func save() async {
        let start = clock.now()
        let users = inner.withLock { $0.state.usersToSave(PresenceMoment(tick: $0.tick, wall: start)) }
        var rest = users[...]
        while !rest.isEmpty {
            let wall = clock.now()
            let some = rest.prefix(Limits.lastSeenAtOnce)
            rest = rest.dropFirst(some.count)
            let entries = inner.withLock { $0.state.lastSeen(of: some, PresenceMoment(tick: $0.tick, wall: wall)) }
            guard !entries.isEmpty else { continue }
            // What cannot be stored now is stored the next time.
            guard case .done? = try? await writer.perform(.recordLastSeen(entries)) else { return }
            inner.withLock { $0.state.saved(entries, PresenceMoment(tick: $0.tick, wall: wall)) }
        }
    }
}
