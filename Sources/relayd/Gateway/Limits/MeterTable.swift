import RelayModel
import Synchronization

/// Something that measures and that can be forgotten when it has nothing to remember.
protocol Meter: AnyObject, Sendable {
    init()
    /// All its buckets are full: a new one would be the same.
    func isIdle(at now: Int64) -> Bool
}

/// Meters by key, at most so many. Whoever uses one borrows it and gives it back; what nobody borrows and is idle is forgotten. Any thread.
///
/// The table's lock is taken when a connection comes or goes and once a REST request, never per message.
final class MeterTable<Key: Hashable & Sendable, Measure: Meter>: Sendable {
    private struct Entry {
        var meter: Measure
        var borrowed: Int
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// A sweep costs a look at every entry: the next one waits until there are twice as many as the last one left.
        var sweepAt: Int
    }

    private let bound: Int
    private let state: Mutex<State>

    /// - Parameter bound: meters that nobody borrows; those that are borrowed are bounded by the connections.
    init(bound: Int = Limits.meters) {
        self.bound = bound
        state = Mutex(State(sweepAt: max(1, bound / 8)))
    }

    /// The key's meter, which stays until it is given back.
    func borrow(_ key: Key, at now: Int64) -> Measure {
        state.withLock { state in
            if let meter = state.entries[key]?.meter {
                state.entries[key]?.borrowed += 1
                return meter
            }
            if state.entries.count >= state.sweepAt { sweep(&state, now) }
            let meter = Measure()
            state.entries[key] = Entry(meter: meter, borrowed: 1)
            return meter
        }
    }

    func giveBack(_ key: Key, at now: Int64) {
        state.withLock { state in
            guard var entry = state.entries[key], entry.borrowed > 0 else { return }
            entry.borrowed -= 1
            state.entries[key] = entry.borrowed == 0 && entry.meter.isIdle(at: now) ? nil : entry
        }
    }

    var count: Int { state.withLock { $0.entries.count } }

    private func sweep(_ state: inout State, _ now: Int64) {
        state.entries = state.entries.filter { $0.value.borrowed > 0 || !$0.value.meter.isIdle(at: now) }
        // Too many that are not idle: an eighth goes whatever it remembers, so that the next sweep is not due at once.
        let eighth = max(1, bound / 8)
        var surplus = state.entries.count - (bound - eighth)
        if surplus > 0 {
            state.entries = state.entries.filter { entry in
                guard surplus > 0, entry.value.borrowed == 0 else { return true }
                surplus -= 1
                return false
            }
        }
        state.sweepAt = max(min(bound, 2 * state.entries.count), state.entries.count + eighth)
    }
}
