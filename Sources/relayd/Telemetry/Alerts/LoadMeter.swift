import RelayModel
import RelayStorage

/// Makes days out of minutes: how busy the relay was. Knows no clock.
struct LoadMeter: Sendable {
    /// Processor time so far, of the process, in microseconds, and what failed so far.
    struct Sample: Sendable, Equatable {
        var at: Timestamp
        var cpu: Int
        var failures: Int
    }

    private let processors: Int
    /// One a minute, of the last five minutes.
    private var samples: [Sample] = []
    private(set) var today: LoadDay?

    /// - Parameter today: as it was stored, when the relay was started anew in the middle of it.
    init(processors: Int, today: LoadDay?) {
        self.processors = max(1, processors)
        self.today = today
    }

    static func day(of time: Timestamp) -> Int { Int((Double(time.milliseconds) / 86_400_000).rounded(.down)) }

    /// - Returns: the day before when this begins a new one.
    mutating func add(_ sample: Sample, undelivered: Int, storeBytes: Int) -> LoadDay? {
        let number = LoadMeter.day(of: sample.at)
        // A clock that is put back does not begin a day anew.
        let ended = today.flatMap { number > $0.day ? $0 : nil }
        var day = ended == nil ? today ?? LoadDay(day: number) : LoadDay(day: number)
        day.minutes += 1
        if let last = samples.last { day.failures += max(0, sample.failures - last.failures) }
        samples.append(sample)
        if samples.count > 6 { samples.removeFirst() }
        if samples.count == 6, let first = samples.first {
            let span = (sample.at - first.at).components.seconds
            if span > 0 { day.busiest = max(day.busiest, min(1000, (sample.cpu - first.cpu) / Int(span) / 1000 / processors)) }
        }
        day.undelivered = max(day.undelivered, undelivered)
        day.storeBytes = storeBytes
        today = day
        return ended
    }
}

/// Hints about the size of the host, from how busy the days were.
enum SizingHint {
    /// Of the days that a hint looks back at.
    private static let week = 7
    /// A day of which less is known says nothing: two hours of maintenance are allowed for.
    private static let wholeDay = 22 * 60
    /// In thousandths of all processors, in the busiest five minutes.
    private static let idle = 100
    private static let busy = 800
    /// Answers for which the relay itself was the reason; fewer are a restart.
    private static let failing = 100
    /// Waits for devices: what a few that are switched off leave.
    private static let small = 10_000
    /// Days until a disk is full that does not fill.
    static let never = 36_500

    /// - Parameters:
    ///   - days: in order; the current one is not among them.
    ///   - freeBytes: of the store's file system.
    static func readings(_ days: [LoadDay], today: Int, freeBytes: Int?) -> [AlertKind: Int] {
        var idleDays = 0
        for day in days.reversed() {
            guard day.day == today - 1 - idleDays, day.minutes >= wholeDay, day.busiest < idle, day.failures == 0, day.undelivered < small else {
                break
            }
            idleDays += 1
        }
        let last = days.filter { $0.day >= today - week && $0.day < today }
        var found: [AlertKind: Int] = [
            .hostTooLarge: idleDays, .hostTooSmall: last.filter { $0.busiest >= busy || $0.failures >= failing }.count,
        ]
        if let freeBytes, let first = last.first, let end = last.last, end.day > first.day {
            let growth = (end.storeBytes - first.storeBytes) / (end.day - first.day)
            found[.diskGrowth] = growth > 0 ? min(never, freeBytes / growth) : never
        }
        return found
    }
}
