import RelayModel

/// Which notice is handed over when: at most one of a kind in a minute, each tried some times, and not more of them kept than a person reads.
/// Knows no clock; nanoseconds of a monotonic one come in.
struct NoticeQueue: Sendable {
    struct Entry: Sendable, Equatable {
        var notice: AlertNotice
        var attempts = 0
        var due: Int64
    }

    /// By when they are due, oldest first.
    private(set) var waiting: [Entry] = []
    /// When the next one of a kind may go.
    private var quietUntil: [String: Int64] = [:]
    /// Never handed over.
    private(set) var lost = 0

    mutating func offer(_ notice: AlertNotice, at now: Int64) {
        var notice = notice
        // The newest of what waits says it all.
        if let index = waiting.firstIndex(where: { $0.notice.kind == notice.kind && $0.attempts == 0 }) {
            notice.leftOut = waiting[index].notice.leftOut + 1
            waiting[index].notice = notice
            return
        }
        if waiting.count >= Limits.alertNotices {
            waiting.removeFirst()
            lost += 1
        }
        let due = max(now, quietUntil[notice.kind] ?? now)
        quietUntil[notice.kind] = due + Limits.alertNoticePause.nanoseconds
        insert(Entry(notice: notice, due: due))
    }

    /// The next one to hand over now; it is not in the queue any more.
    mutating func next(at now: Int64) -> Entry? {
        guard let first = waiting.first, first.due <= now else { return nil }
        return waiting.removeFirst()
    }

    /// It did not work.
    /// - Returns: false when it was given up.
    mutating func failed(_ entry: Entry, at now: Int64) -> Bool {
        var entry = entry
        entry.attempts += 1
        guard entry.attempts < Limits.alertAttempts else {
            lost += 1
            return false
        }
        var wait = Limits.alertRetry.nanoseconds
        for _ in 1..<entry.attempts { wait *= 4 }
        entry.due = now + wait
        insert(entry)
        return true
    }

    private mutating func insert(_ entry: Entry) {
        waiting.insert(entry, at: waiting.firstIndex { $0.due > entry.due } ?? waiting.endIndex)
    }
}
