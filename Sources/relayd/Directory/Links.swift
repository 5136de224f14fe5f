import RelayModel
import RelayStorage
import Synchronization

/// The links that are under way, in memory only: a restart ends them all. Bounded in number, bytes and time (``Limits``). Any thread.
final class Links: Sendable {
    /// The two sides of a link; one request of each may wait for the other.
    enum Side: Hashable { case old, new }

    private struct Waiting {
        let number: UInt64
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct Entry {
        var link: LinkRendezvous
        var waiting: [Side: Waiting] = [:]
        /// Places in which it stands in the order of the ends; 0: it goes on.
        var endedAt: UInt64 = 0
    }

    private struct State {
        var entries: [[UInt8]: Entry] = [:]
        /// Those that go on, by user.
        var open: [UserID: Int] = [:]
        var openCount = 0
        var ended: [(id: [UInt8], number: UInt64)] = []
        var number: UInt64 = 0
        var sweeping = false
        var stopping = false
    }

    private let state = Mutex(State())
    private let clock: any WallClock
    private let patience: Duration

    /// - Parameter patience: how long a request waits for the other side.
    init(clock: any WallClock, patience: Duration) {
        self.clock = clock
        self.patience = patience
    }

    // MARK: Steps

    /// - Returns: until when it waits for a new device.
    func open(_ id: [UInt8], user: UserID, device: DeviceID) throws(LinkRefusal) -> Timestamp {
        let now = clock.now()
        let (result, sweeps, woken): (Result<Timestamp, LinkRefusal>, Bool, [Waiting]) = state.withLock { state in
            guard !state.stopping else { return (.failure(.stopping), false, []) }
            let woken = Links.expire(&state, now)
            if let known = state.entries[id] {
                // The same request again.
                let same = known.link.user == user && known.link.device == device && known.link.ending == nil && known.link.hello == nil
                return (same ? .success(known.link.deadline) : .failure(.used), false, woken)
            }
            guard state.openCount < Limits.links, state.open[user] ?? 0 < Limits.linksPerUser else {
                return (.failure(.limit), false, woken)
            }
            let link = LinkRendezvous(user: user, device: device, at: now)
            state.entries[id] = Entry(link: link)
            state.open[user, default: 0] += 1
            state.openCount += 1
            defer { state.sweeping = true }
            return (.success(link.deadline), !state.sweeping, woken)
        }
        Links.wake(woken)
        if sweeps { sweep() }
        return try result.get()
    }

    /// One step of a link; whoever waits looks again when it changed something.
    func step<Value: Sendable>(
        _ id: [UInt8], _ body: (inout LinkRendezvous, Timestamp) throws(LinkRefusal) -> Value
    ) throws(LinkRefusal) -> Value { try look(id, body).value }

    private func look<Value: Sendable>(
        _ id: [UInt8], _ body: (inout LinkRendezvous, Timestamp) throws(LinkRefusal) -> Value
    ) throws(LinkRefusal) -> (value: Value, changes: UInt64) {
        let now = clock.now()
        typealias Looked = (result: Result<(value: Value, changes: UInt64), LinkRefusal>, woken: [Waiting])
        let looked: Looked = state.withLock { state in
            guard !state.stopping else { return (.failure(.stopping), []) }
            guard var entry = state.entries[id] else { return (.failure(.unknown), []) }
            entry.link.look(at: now)
            let result: Result<(value: Value, changes: UInt64), LinkRefusal>
            do throws(LinkRefusal) {
                let value = try body(&entry.link, now)
                result = .success((value, entry.link.changes))
            } catch { result = .failure(error) }
            return (result, Links.put(entry, id, &state))
        }
        Links.wake(looked.woken)
        return try looked.result.get()
    }

    /// Waits until `body` has something to give; nil when that takes too long, or the same side asks again.
    func wait<Value: Sendable>(
        _ id: [UInt8], _ side: Side, _ body: (inout LinkRendezvous, Timestamp) throws(LinkRefusal) -> Value?
    ) async throws(LinkRefusal) -> Value? {
        let limit = ContinuousClock.now + patience
        while true {
            let looked = try look(id, body)
            if let value = looked.value { return value }
            let left = limit - ContinuousClock.now
            guard left > .zero, await changed(id, side, since: looked.changes, within: left) else { return nil }
        }
    }

    /// False when nothing changed in time.
    private func changed(_ id: [UInt8], _ side: Side, since changes: UInt64, within time: Duration) async -> Bool {
        var timer: Task<Void, Never>?
        defer { timer?.cancel() }
        return await withCheckedContinuation { continuation in
            let (number, other): (UInt64?, CheckedContinuation<Bool, Never>?) = state.withLock { state in
                guard var entry = state.entries[id], entry.link.changes == changes else { return (nil, nil) }
                state.number += 1
                let other = entry.waiting.updateValue(Waiting(number: state.number, continuation: continuation), forKey: side)?.continuation
                state.entries[id] = entry
                return (state.number, other)
            }
            other?.resume(returning: false)
            guard let number else { return continuation.resume(returning: true) }
            timer = Task { [weak self] in
                do { try await Task.sleep(for: time) } catch { return }
                self?.giveUp(id, side, number)
            }
        }
    }

    private func giveUp(_ id: [UInt8], _ side: Side, _ number: UInt64) {
        let waiting = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            guard let found = state.entries[id]?.waiting[side], found.number == number else { return nil }
            state.entries[id]?.waiting[side] = nil
            return found.continuation
        }
        waiting?.resume(returning: false)
    }

    // MARK: Ends

    /// Stores a link after a step, and counts it as ended when it is.
    /// - Returns: whoever waited for what has changed, to be woken outside of the lock.
    private static func put(_ entry: Entry, _ id: [UInt8], _ state: inout State) -> [Waiting] {
        var entry = entry
        var woken: [Waiting] = []
        if state.entries[id]?.link.changes != entry.link.changes {
            woken += entry.waiting.values
            entry.waiting = [:]
        }
        if entry.link.ending != nil, entry.endedAt == 0 {
            state.number += 1
            entry.endedAt = state.number
            state.ended.append((id, state.number))
            state.openCount -= 1
            let left = (state.open[entry.link.user] ?? 1) - 1
            state.open[entry.link.user] = left > 0 ? left : nil
        }
        state.entries[id] = entry
        while state.ended.count > Limits.linksEnded {
            let oldest = state.ended.removeFirst()
            if let forgotten = state.entries.removeValue(forKey: oldest.id) { woken += forgotten.waiting.values }
        }
        return woken
    }

    private static func expire(_ state: inout State, _ now: Timestamp) -> [Waiting] {
        var woken: [Waiting] = []
        for (id, entry) in state.entries where entry.endedAt == 0 {
            var entry = entry
            entry.link.look(at: now)
            if entry.link.ending != nil { woken += put(entry, id, &state) }
        }
        return woken
    }

    private static func wake(_ waiting: [Waiting]) { for waiting in waiting { waiting.continuation.resume(returning: true) } }

    /// Forgets what two devices that went away have left, while anything is left.
    private func sweep() {
        Task { [weak self] in
            while true {
                try? await Task.sleep(for: Limits.linkSweep)
                guard let self else { return }
                let now = clock.now()
                let (goesOn, woken) = state.withLock { state in
                    let woken = Links.expire(&state, now)
                    state.sweeping = state.openCount > 0 && !state.stopping
                    return (state.sweeping, woken)
                }
                Links.wake(woken)
                if !goesOn { return }
            }
        }
    }

    /// Nobody waits any more, and nothing new begins.
    func stop() {
        let woken = state.withLock { state in
            state.stopping = true
            defer { state.entries = [:] }
            return state.entries.values.flatMap(\.waiting.values)
        }
        Links.wake(woken)
    }

    /// Parts that are held for all links, links that go on, and requests that wait.
    var held: (parts: Int, links: Int, waiting: Int) {
        state.withLock { state in
            let entries = state.entries.values
            return (entries.reduce(0) { $0 + $1.link.heldParts }, state.openCount, entries.reduce(0) { $0 + $1.waiting.count })
        }
    }
}
