import RelayModel
import Synchronization

/// Gathers what modules raise until it is looked at. Any thread; a mutex that is held for one entry of a dictionary.
package final class AlertInbox: AlertSink {
    private struct Key: Hashable {
        var kind: AlertKind
        var subject: AlertSubject?
    }

    /// How often, and the last figure.
    private let events = Mutex<[Key: (count: Int, figure: Int)]>([:])

    package init() {}

    package func raise(_ event: AlertEvent) {
        events.withLock { events in
            var key = Key(kind: event.kind, subject: event.subject)
            if events.count >= Limits.alertEvents, events[key] == nil { key.subject = nil }
            events[key] = (count: (events[key]?.count ?? 0) + 1, figure: event.figure)
        }
    }

    /// What was raised since the last time, each with how often.
    func take() -> [(AlertEvent, count: Int)] {
        let taken = events.withLock { events in
            let all = events
            events = [:]
            return all
        }
        return taken.map { (AlertEvent($0.key.kind, about: $0.key.subject, figure: $0.value.figure), $0.value.count) }
            .sorted { ($0.0.kind.rawValue, $0.0.subject?.order ?? 0) < ($1.0.kind.rawValue, $1.0.subject?.order ?? 0) }
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
