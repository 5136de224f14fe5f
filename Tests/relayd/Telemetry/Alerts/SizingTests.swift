import RelayModel
import RelayStorage
import Testing

@testable import RelayTelemetry

@Suite struct SizingTests {
    private let start = Timestamp(milliseconds: 20_000 * 86_400_000)

    private func sample(_ minute: Int, cpu: Int, failures: Int = 0) -> LoadMeter.Sample {
        LoadMeter.Sample(at: start + .seconds(60 * minute), cpu: cpu, failures: failures)
    }

    @Test func theBusiestFiveMinutesCount() {
        var meter = LoadMeter(processors: 2, today: nil)
        var cpu = 0
        for minute in 0..<60 {
            // Half of one of two processors, and for five minutes all of both.
            cpu += (20..<25).contains(minute) ? 120_000_000 : 30_000_000
            #expect(meter.add(sample(minute, cpu: cpu, failures: minute / 10), undelivered: minute, storeBytes: 1000 + minute) == nil)
        }
        #expect(meter.today == LoadDay(day: 20_000, minutes: 60, busiest: 1000, failures: 5, undelivered: 59, storeBytes: 1059))
    }

    @Test func aDayEndsAtMidnightAndGoesOnAfterARestart() {
        var meter = LoadMeter(processors: 1, today: LoadDay(day: 20_000, minutes: 1438, busiest: 7, failures: 3, undelivered: 1, storeBytes: 9))
        #expect(meter.add(sample(1438, cpu: 0), undelivered: 0, storeBytes: 10) == nil)
        #expect(meter.add(sample(1439, cpu: 0), undelivered: 0, storeBytes: 11) == nil)
        let ended = meter.add(sample(1440, cpu: 0), undelivered: 0, storeBytes: 12)
        #expect(ended == LoadDay(day: 20_000, minutes: 1440, busiest: 7, failures: 3, undelivered: 1, storeBytes: 11))
        #expect(meter.today == LoadDay(day: 20_001, minutes: 1, storeBytes: 12))
        // The clock is put back.
        #expect(meter.add(sample(1000, cpu: 0), undelivered: 0, storeBytes: 13) == nil)
        #expect(meter.today?.day == 20_001)
    }

    private func days(_ count: Int, before today: Int = 100, _ change: (Int, inout LoadDay) -> Void = { _, _ in }) -> [LoadDay] {
        (0..<count).map { index in
            var day = LoadDay(day: today - count + index, minutes: 1440, busiest: 20, storeBytes: 1 << 30)
            change(index, &day)
            return day
        }
    }

    private func hints(_ days: [LoadDay], free: Int? = 1 << 40) -> [AlertKind: Int] { SizingHint.readings(days, today: 100, freeBytes: free) }

    @Test func manyIdleDaysInARow() {
        #expect(hints(days(20))[.hostTooLarge] == 20)
        #expect(hints(days(20) { if $0 == 10 { $1.failures = 1 } })[.hostTooLarge] == 9)
        #expect(hints(days(20) { if $0 == 10 { $1.busiest = 100 } })[.hostTooLarge] == 9)
        #expect(hints(days(20) { if $0 == 10 { $1.undelivered = 10_000 } })[.hostTooLarge] == 9)
        // A day on which the relay was down says nothing; neither does one that is missing.
        #expect(hints(days(20) { if $0 == 10 { $1.minutes = 600 } })[.hostTooLarge] == 9)
        #expect(hints(days(20).filter { $0.day != 90 })[.hostTooLarge] == 9)
        #expect(hints([])[.hostTooLarge] == 0)
    }

    @Test func busyDaysOfTheLastWeek() {
        #expect(hints(days(20) { $1.busiest = 900 })[.hostTooSmall] == 7)
        #expect(hints(days(20) { if $0 >= 18 { $1.failures = 500 } })[.hostTooSmall] == 2)
        #expect(hints(days(20) { if $0 < 13 { $1.busiest = 900 } })[.hostTooSmall] == 0)
    }

    @Test func howLongTheDiskLasts() {
        #expect(hints(days(7) { $1.storeBytes += $0 << 20 }, free: 40 << 20)[.diskGrowth] == 40)
        #expect(hints(days(7), free: 1)[.diskGrowth] == SizingHint.never)
        #expect(hints(days(7) { $1.storeBytes -= $0 << 20 }, free: 1)[.diskGrowth] == SizingHint.never)
        #expect(hints(days(1))[.diskGrowth] == nil && hints(days(7), free: nil)[.diskGrowth] == nil)
    }

    @Test func hintsBecomeAlerts() {
        var book = AlertBook([], rules: Dictionary(uniqueKeysWithValues: AlertKind.allCases.map { ($0, $0.rule) }))
        func read(_ days: [LoadDay]) -> [AlertKind] {
            hints(days).sorted { $0.key.rawValue < $1.key.rawValue }.compactMap { book.read($0, $1, at: start)?.row.kind }
        }
        #expect(read(days(13)).isEmpty)
        #expect(read(days(14)) == [.hostTooLarge])
        #expect(read(days(15)).isEmpty)
        #expect(read(days(15) { if $0 == 14 { $1.busiest = 500 } }) == [.hostTooLarge] && book.rows[0].overAt != nil)
    }
}
