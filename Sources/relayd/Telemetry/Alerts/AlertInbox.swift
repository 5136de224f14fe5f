import RelayModel
import Synchronization

/// Gathers what modules raise until it is looked at. Any thread; a mutex that is held for one entry of a dictionary.
package final class AlertInbox: AlertSink {
    private struct Key: Hashable {
        var kind: AlertKind
        var subject: AlertSubject?
    }

    private struct State {
        /// How often, and the last figure.
        var events: [Key: (count: Int, figure: Int)] = [:]
        /// What was put right, before these events.
        var settled: Set<AlertKind> = []
    }

    private let state = Mutex(State())

    package init() {}

    package func raise(_ event: AlertEvent) {
        state.withLock { state in
            var key = Key(kind: event.kind, subject: event.subject)
            if state.events.count >= Limits.alertEvents, state.events[key] == nil { key.subject = nil }
            state.events[key] = (count: (state.events[key]?.count ?? 0) + 1, figure: event.figure)
        }
    }

    package func settle(_ kind: AlertKind) {
        state.withLock { state in
            state.events = state.events.filter { $0.key.kind != kind }
            state.settled.insert(kind)
        }
    }

    /// What happened since the last time: what was settled first, then what was raised, each with how often.
    func take() -> (settled: [AlertKind], raised: [(AlertEvent, count: Int)]) {
        let taken = state.withLock { state in
            defer { state = State() }
            return state
        }
        let raised = taken.events.map { (AlertEvent($0.key.kind, about: $0.key.subject, figure: $0.value.figure), $0.value.count) }
            .sorted { ($0.0.kind.rawValue, $0.0.subject?.order ?? 0) < ($1.0.kind.rawValue, $1.0.subject?.order ?? 0) }
        return (taken.settled.sorted { $0.rawValue < $1.rawValue }, raised)
    }
}

extension AlertSubject {
    /// So that what is found in a dictionary has one order.
    fileprivate var order: UInt64 {
        switch self {
        case .user(let user): user.rawValue
        case .device(let device): device.rawValue
        }
    }
}
