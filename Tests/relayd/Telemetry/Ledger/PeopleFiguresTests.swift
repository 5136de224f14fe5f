import Foundation
import RelayModel
import Testing

@testable import RelayStorage
@testable import RelayTelemetry

@Suite struct PeopleFiguresTests {
    private func release(_ metric: PeopleMetric, _ state: PeopleRelease.State, _ value: Int?) -> PeopleRelease {
        PeopleRelease(metric: metric, start: 20_000, state: state, value: value, parameters: metric.standard, bin: 3, threshold: 20, algorithm: 1)
    }

    @Test func theExpositionHasTheLastValues() {
        let text = PeopleExposition.text([
            PeopleSeries(metric: .activeUsers, releases: [release(.activeUsers, .released, 30), release(.activeUsers, .released, 120)]),
            PeopleSeries(metric: .registrations, releases: [release(.registrations, .released, 30), release(.registrations, .suppressed, nil)]),
            PeopleSeries(metric: .blocksAndReports, releases: []),
        ])
        let samples = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(
            samples == [
                "relayd_people_active_users 120", "relayd_people_period_start_seconds{metric=\"active_users\"} 1728000000",
                "relayd_people_period_start_seconds{metric=\"registrations\"} 1728000000", "relayd_people_plus_minus{metric=\"active_users\"} 11",
            ])
        #expect(text.hasSuffix("\n"))
    }

    /// Beyond ± are at most 5 % of the noise, and one less would be too few.
    @Test(arguments: PeopleMetric.allCases) func plusMinusIsNineteenOfTwenty(metric: PeopleMetric) {
        let one = PeopleRelease(
            metric: metric, start: 0, state: .released, value: 1, parameters: metric.standard, bin: 1, threshold: 1, algorithm: 1)
        let q = exp(-Double(metric.standard.epsilonThousandths) / 1000 / Double(metric.standard.clamp))
        func beyond(_ k: Int) -> Double { 2 * pow(q, Double(k + 1)) / (1 + q) }
        #expect(beyond(one.plusMinus) <= 0.05 && beyond(one.plusMinus - 1) > 0.05)
    }

    @Test func periodsAreUTCDaysAndWeeksFromMonday() {
        // 2026-11-21 is a Saturday.
        let saturday = PeoplePeriod.day(of: Timestamp("2026-11-21T23:59:59.999Z") ?? Timestamp(milliseconds: 0))
        #expect(PeoplePeriod.name(of: saturday) == "2026-11-21")
        #expect(PeoplePeriod.name(of: PeoplePeriod.week.start(of: saturday)) == "2026-11-16")
        #expect(PeoplePeriod.week.start(of: saturday + 1) == PeoplePeriod.week.start(of: saturday))
        #expect(PeoplePeriod.week.start(of: saturday + 2) == saturday + 2)
        #expect(PeoplePeriod.day.end(from: saturday).description == "2026-11-22T00:00:00.000Z")
        #expect(PeoplePeriod.day(of: Timestamp(milliseconds: -1)) == -1 && PeoplePeriod.week.start(of: -1) == -3)
    }

    @Test func epsilonIsExact() {
        for (text, thousandths) in [("0.3", 300), ("0", 0), ("1", 1000), ("0.001", 1), ("2.050", 2050), ("00.1", 100)] {
            #expect(Epsilon.thousandths(text) == thousandths)
        }
        for wrong in ["", ".3", "3.", "0.0001", "-1", "+1", "1e3", "0,3", " 1", "٣", "1.2.3", "99999999999999999999"] {
            #expect(Epsilon.thousandths(wrong) == nil, "\(wrong)")
        }
        for thousandths in [0, 1, 10, 100, 123, 300, 1000, 1230, 6600] { #expect(Epsilon.thousandths(Epsilon.text(thousandths)) == thousandths) }
        #expect(Epsilon.text(300) == "0.3" && Epsilon.text(6600) == "6.6" && Epsilon.text(1001) == "1.001")
    }

    @Test func theTableIsTheIssues() {
        let budget = PeopleBudget(settings: PeopleSettings(), metrics: [:], gate: PeopleSpending())
        #expect(budget.perDay == 900 && budget.perWeek == 7 * 900 + 100 + 200)
        #expect(PeopleMetric.allCases.map { $0.standard.clamp } == [1, 5, 64, 64, 1, 4])
        #expect(PeopleMetric.allCases.map { $0.standard.epsilonThousandths } == [300, 200, 200, 100, 100, 100])
    }

    @Test func theTallyIsBounded() {
        let tally = PeopleTally()
        let now = PeoplePeriod.beginning(of: 20_000)
        for number in 0..<UInt64(Limits.peopleTallies + 10) { tally.connected(UserID(number + 1), DeviceID(1), at: now) }
        // Who is in it already goes on.
        for device in UInt64(0)..<40 { tally.connected(UserID(1), DeviceID(device + 1), at: now) }
        let taken = tally.take()
        #expect(taken.days[20_000]?.count == Limits.peopleTallies)
        #expect(taken.days[20_000]?[UserID(1)]?.devices.count == Limits.devicesPerUserCeiling)
        #expect(tally.take().isEmpty)
        tally.connected(UserID(5), DeviceID(1), at: now)
        #expect(tally.take().days[20_000]?.count == 1)
    }
}
