import RelayModel
import RelayStorage

/// Decides which alerts there are: events and figures in, alerts that begin and end out. Knows neither the store nor a clock.
struct AlertBook: Sendable {
    /// A change that operators are told of.
    enum Turn: Sendable, Equatable {
        case began(AlertRow)
        case ended(AlertRow)

        var row: AlertRow {
            switch self {
            case .began(let row), .ended(let row): row
            }
        }
    }

    private struct Key: Hashable {
        var kind: AlertKind
        var subject: AlertSubject?
    }

    /// Events of a subject that are no alert yet.
    private struct Tally {
        var count: Int
        var firstAt: Timestamp
        var lastAt: Timestamp
    }

    /// Of every kind. New ones hold from the next event or figure on, also for alerts that go on.
    var rules: [AlertKind: AlertKind.Rule]
    private var nextID: Int
    /// Those that go on.
    private var open: [Key: AlertRow] = [:]
    /// Over, newest last; at most ``Limits/alertsKept``.
    private var over: [AlertRow] = []
    private var tallies: [Key: Tally] = [:]
    /// Since when a figure is beyond its limit without being an alert yet.
    private var beyond: [AlertKind: Timestamp] = [:]
    /// Rows that are not as they are stored, by when they have to be.
    private var unsaved: [Int: Timestamp] = [:]

    /// - Parameters:
    ///   - rows: as they were stored.
    ///   - rules: of every kind.
    init(_ rows: [AlertRow], rules: [AlertKind: AlertKind.Rule]) {
        self.rules = rules
        nextID = (rows.map(\.id).max() ?? 0) + 1
        for row in rows.sorted(by: { $0.id < $1.id }) {
            if row.overAt == nil { open[Key(kind: row.kind, subject: row.subject)] = row } else { over.append(row) }
        }
        forget()
    }

    // MARK: What is there

    /// Newest first.
    var rows: [AlertRow] { (over + open.values).sorted { $0.id > $1.id } }

    func rule(of kind: AlertKind) -> AlertKind.Rule { rules[kind] ?? kind.rule }

    // MARK: What happens

    /// - Parameter count: how often it happened.
    mutating func note(_ event: AlertEvent, count: Int, at now: Timestamp) -> Turn? {
        guard case .events(let needed, _) = rule(of: event.kind).trigger else { return nil }
        var key = Key(kind: event.kind, subject: event.subject)
        if open[key] == nil, event.subject != nil, open.keys.lazy.filter({ $0.kind == event.kind && $0.subject != nil }).count >= Limits.alertSubjects
        {
            key.subject = nil
        }
        if var row = open[key] {
            row.count += count
            row.figure = event.figure
            row.lastAt = max(row.lastAt, now)
            open[key] = row
            save(row.id, by: now + Limits.alertRecording)
            return nil
        }
        var tally = tallies[key] ?? Tally(count: 0, firstAt: now, lastAt: now)
        tally.count += count
        tally.lastAt = now
        guard tally.count >= needed else {
            if tallies[key] == nil, tallies.count >= Limits.alertCounts, let oldest = tallies.min(by: { $0.value.lastAt < $1.value.lastAt }) {
                tallies[oldest.key] = nil
            }
            tallies[key] = tally
            return nil
        }
        tallies[key] = nil
        return begin(key, count: tally.count, figure: event.figure, firstAt: tally.firstAt, at: now)
    }

    mutating func read(_ kind: AlertKind, _ figure: Int, at now: Timestamp) -> Turn? {
        guard case .reading(let raise, let clear, let holds, _) = rule(of: kind).trigger else { return nil }
        let highIsBad = raise > clear
        let key = Key(kind: kind, subject: nil)
        if var row = open[key] {
            beyond[kind] = nil
            if highIsBad ? figure <= clear : figure >= clear { return end(key, at: now) }
            row.lastAt = max(row.lastAt, now)
            let worst = highIsBad ? max(row.figure, figure) : min(row.figure, figure)
            // A figure that goes on getting worse is written down now and then.
            save(row.id, by: now + Limits.alertRecording)
            row.figure = worst
            open[key] = row
            return nil
        }
        guard highIsBad ? figure >= raise : figure <= raise else {
            beyond[kind] = nil
            return nil
        }
        let since = min(beyond[kind] ?? now, now)
        beyond[kind] = since
        guard now - since >= holds else { return nil }
        beyond[kind] = nil
        return begin(key, count: 1, figure: figure, firstAt: since, at: now)
    }

    /// Ends what has been quiet for long enough.
    mutating func tick(at now: Timestamp) -> [Turn] {
        func isQuiet(_ key: Key, since last: Timestamp) -> Bool {
            guard case .events(_, let within) = rule(of: key.kind).trigger else { return false }
            return now - last >= within
        }
        tallies = tallies.filter { !isQuiet($0.key, since: $0.value.lastAt) }
        return end(open.filter { isQuiet($0.key, since: $0.value.lastAt) }.keys, at: now)
    }

    /// Ends what was put right, and forgets the events that were no alert yet.
    mutating func settle(_ kind: AlertKind, at now: Timestamp) -> [Turn] {
        tallies = tallies.filter { $0.key.kind != kind }
        return end(open.keys.filter { $0.kind == kind }, at: now)
    }

    /// An operator knows.
    /// - Returns: nil when there is none with this number.
    mutating func acknowledge(_ id: Int, at now: Timestamp) -> AlertRow? {
        if let key = open.first(where: { $0.value.id == id })?.key {
            if open[key]?.acknowledgedAt == nil {
                open[key]?.acknowledgedAt = now
                save(id, by: now)
            }
            return open[key]
        }
        guard let index = over.firstIndex(where: { $0.id == id }) else { return nil }
        if over[index].acknowledgedAt == nil {
            over[index].acknowledgedAt = now
            save(id, by: now)
        }
        return over[index]
    }

    // MARK: What is stored

    /// Rows that should be written down by now; they count as written.
    mutating func due(at now: Timestamp, all: Bool = false) -> [AlertRow] {
        let ids = unsaved.filter { all || $0.value <= now }.keys
        guard !ids.isEmpty else { return [] }
        let found = rows.filter { ids.contains($0.id) }
        for id in ids { unsaved[id] = nil }
        return found.reversed()
    }

    /// They could not be written down.
    mutating func putBack(_ rows: [AlertRow], at now: Timestamp) { for row in rows { save(row.id, by: now) } }

    private mutating func save(_ id: Int, by time: Timestamp) { unsaved[id] = min(unsaved[id] ?? time, time) }

    private mutating func begin(_ key: Key, count: Int, figure: Int, firstAt: Timestamp, at now: Timestamp) -> Turn {
        let row = AlertRow(id: nextID, kind: key.kind, subject: key.subject, count: count, figure: figure, firstAt: firstAt, lastAt: now)
        nextID += 1
        open[key] = row
        save(row.id, by: now)
        return .began(row)
    }

    /// The oldest first.
    private mutating func end(_ keys: some Sequence<Key>, at now: Timestamp) -> [Turn] {
        keys.sorted { (open[$0]?.id ?? 0) < (open[$1]?.id ?? 0) }.compactMap { end($0, at: now) }
    }

    private mutating func end(_ key: Key, at now: Timestamp) -> Turn? {
        guard var row = open.removeValue(forKey: key) else { return nil }
        row.overAt = now
        over.append(row)
        save(row.id, by: now)
        forget()
        return .ended(row)
    }

    private mutating func forget() { if over.count > Limits.alertsKept { over.removeFirst(over.count - Limits.alertsKept) } }
}
