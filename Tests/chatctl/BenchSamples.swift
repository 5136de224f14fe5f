import Histogram
import RelayControl

@testable import ChatctlCommands

/// Reports of the bench with fixed figures, for the golden files.
enum BenchSamples {
    private static let before = BenchSnapshot(relay: GoldenTests.status, ownMicroseconds: 500_000, at: start)
    private static let start = ContinuousClock.now

    private static var after: BenchSnapshot {
        var relay = GoldenTests.status
        relay.cpuMicroseconds += 4_321_000
        relay.commandsApplied += 300_000
        relay.commits += 1_000
        relay.residentBytes += 10_485_760
        return BenchSnapshot(relay: relay, ownMicroseconds: 1_734_500, at: start + .milliseconds(5_250))
    }

    private static let cost = BenchCost(before, after, messages: 200_000)

    private static let latency: BenchLatency = {
        var histogram = BenchLoop.histogram()
        for (value, count) in [(UInt64(0), UInt64(1)), (1, 1), (2, 1), (700, 500), (1024, 20), (1500, 200), (90_000, 2)] {
            histogram.record(value, count: count)
        }
        return BenchLatency(histogram)
    }()

    private static let nothing = BenchLatency(BenchLoop.histogram())

    private static let clean = BenchRefusals(BenchLoop.Tally())

    private static let trouble: BenchRefusals = {
        var tally = BenchLoop.Tally()
        (tally.issued, tally.answered, tally.heldBack, tally.reconnects) = (1000, 998, 12_345, 7)
        tally.refusals = ["overloaded": 9, "close_1013": 7]
        return BenchRefusals(tally)
    }()

    private static let kept = BenchVerdict(accepted: 200_000, delivered: 200_000)
    private static let broken = BenchVerdict(accepted: 200_000, delivered: 199_998, lost: 3, doubled: 1, disordered: 2, corrupted: 4)

    static let pairs = PairsReport(pairs: 100, bodyBytes: 200, rate: nil, cost: cost, latency: latency, refusals: trouble, verdict: broken)
    static let fanOut = FanOutReport(
        members: 1000, devices: 5, senders: 2, bodyBytes: 200, rate: nil, window: 4, cost: cost, latency: latency, firstToLast: latency,
        dueToLast: nothing,
        refusals: clean, verdict: kept)
    static let offline = OfflineReport(
        pairs: 100, bodyBytes: 4096, store: cost, drain: cost,
        backlog: OfflineReport.Backlog(messages: 50_000, seconds: 1.25, messagesPerSecond: 40_000, live: latency), refusals: clean, verdict: kept)
    static let idle = IdleReport(
        warmUp: 300, residentBytesBefore: 45_000_000,
        steps: [
            IdleReport.Step(connections: 10_000, residentBytes: 85_000_000, bytesPerConnection: 4000),
            IdleReport.Step(connections: 19_000, residentBytes: 121_000_000, bytesPerConnection: 4000),
        ], connectionsPerSecond: 2078.4, cpuMicrosecondsPerConnection: 284.8, verdict: BenchVerdict())
    static let seed = SeedReport(
        connections: 19_000, bodyBytes: 4096, everySeconds: 60, cost: cost, latency: latency, refusals: clean, verdict: kept)
    static let keys = KeysReport(
        contacts: 1000, devices: 5, changes: 10, cost: cost, answered: latency, changeToLast: latency,
        verdict: BenchVerdict(accepted: 10, delivered: 50_040))
    static let surge = SurgeReport(
        pairs: 400, bodyBytes: 256, sustainablePerSecond: 40_000, offeredPerSecond: 400_000, acceptedPerSecond: 38_000.5, seconds: 60,
        normalPerSecond: 10_000, normal: latency, residentBytesBefore: 50_000_000, residentBytesPeak: 250_000_000, residentBytesAfter: 120_000_000,
        recoverySeconds: nil, refusals: trouble, verdict: kept)
}
