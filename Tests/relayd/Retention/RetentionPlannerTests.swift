import RelayModel
import RelayStorage
import Testing

@testable import RelayRetention

@Suite struct RetentionPlannerTests {
    private static let now = Timestamp(milliseconds: 1_790_000_000_000)
    private let planner = RetentionPlanner(now: now)

    /// A message of so many days and milliseconds ago.
    private func message(days: Int, milliseconds: Int64 = 0) -> MessageID {
        MessageID(Stamp(time: Timestamp(milliseconds: Self.now.milliseconds - Int64(days) * 86_400_000 - milliseconds)).rawValue)
    }

    private func facts(_ policy: RetentionPolicy, acknowledged: MessageID = MessageID(0), beyondSpace: MessageID = MessageID(0))
        -> RetentionPlanner.Facts
    {
        RetentionPlanner.Facts(policy: policy, acknowledged: acknowledged.rawValue, beyondSpace: beyondSpace.rawValue)
    }

    @Test func ageCountsToTheMillisecond() {
        let known = facts(.standard)
        #expect(planner.rule(for: message(days: 30), known) == nil)
        #expect(planner.rule(for: message(days: 30, milliseconds: 1), known) == .undelivered)
        let acknowledged = facts(.standard, acknowledged: message(days: 1))
        #expect(planner.rule(for: message(days: 14), acknowledged) == nil)
        #expect(planner.rule(for: message(days: 14, milliseconds: 1), acknowledged) == .delivered)
        #expect(planner.rule(for: message(days: 31), acknowledged) == .undelivered)
    }

    @Test func whatSomebodyWaitsForIsNotDelivered() {
        let known = facts(.standard, acknowledged: message(days: 20))
        #expect(planner.rule(for: message(days: 19, milliseconds: 999), known) == nil)
        #expect(planner.rule(for: message(days: 20), known) == .delivered)
        var policy = RetentionPolicy.forever
        policy.onceDelivered = true
        #expect(planner.end(facts(policy)) == nil)
        #expect(planner.rule(for: message(days: 0), facts(policy, acknowledged: message(days: 0))) == .onceDelivered)
    }

    @Test func spaceTakesOnlyWhatIsDelivered() {
        let policy = RetentionPolicy(deliveredDays: nil, undeliveredDays: nil, userBytes: 1 << 20)
        let known = facts(policy, acknowledged: message(days: 5), beyondSpace: message(days: 3))
        #expect(planner.rule(for: message(days: 6), known) == .space)
        #expect(planner.rule(for: message(days: 4), known) == nil)
    }

    @Test func foreverIsForEver() {
        let all = MessageID(UInt64(Int64.max))
        #expect(planner.end(facts(.forever, acknowledged: all, beyondSpace: all)) == nil)
    }

    @Test func theLongestPolicyCounts() {
        let other = RetentionPolicy(deliveredDays: 90, undeliveredDays: nil, userBytes: 1 << 20, onceDelivered: true)
        let both = RetentionPolicy.standard.longer(than: other)
        #expect(both == RetentionPolicy(deliveredDays: 90, undeliveredDays: nil, userBytes: 10 << 20, onceDelivered: false))
        #expect(both == other.longer(than: .standard))
        #expect(RetentionPolicy.forever.longer(than: .standard) == .forever)
    }

    @Test func aClockBeforeTheEpochPurgesNothing() {
        #expect(RetentionPlanner(now: Timestamp(milliseconds: 0)).end(facts(.standard)) == nil)
    }

    @Test func stepsKeepToTheirTime() {
        var pace = PurgePace()
        #expect(pace.pause(after: .microseconds(500), waiting: .milliseconds(1)) == .microseconds(2500))
        #expect(pace.rows == Limits.purgeStepRows * 2)
        for _ in 0..<20 { _ = pace.pause(after: .microseconds(10), waiting: .milliseconds(1)) }
        #expect(pace.rows == Limits.purgeStepRowsCeiling)
        #expect(pace.pause(after: .seconds(1), waiting: .seconds(1)) == Limits.purgeRestCeiling)
        for _ in 0..<20 { _ = pace.pause(after: .seconds(1), waiting: .seconds(1)) }
        #expect(pace.rows == Limits.purgeStepRowsFloor)
        // A busy writer and a slow disk make the purge rest, not do less: small steps would cost them more.
        var busy = PurgePace()
        #expect(busy.pause(after: Limits.purgeStep, waiting: .milliseconds(30)) == .milliseconds(60))
        #expect(busy.rows == Limits.purgeStepRows)
    }

    @Test func theProofIsRead() throws {
        let entry = PurgeEntry(at: Self.now, longestDays: nil, policies: [1, 0xAB], messagesAtLeast: 64, oldestDays: 3)
        #expect(PurgeEntry(entry.text) == entry)
        for wrong in ["", "purge 2", entry.text + " x", entry.text.replacing("at=", with: "ta="), entry.text.replacing("01ab", with: "01a")] {
            #expect(PurgeEntry(wrong) == nil, "\(wrong)")
        }
        #expect([0, 15, 16, 31, 32, 1_000_000].map(PurgeEntry.atLeast) == [0, 0, 16, 16, 32, 524_288])
    }
}
