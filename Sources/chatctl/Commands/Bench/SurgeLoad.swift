import NIOCore
import RelayControl
import RelayHTTP

/// Far more than the relay can take.
struct SurgeLoad {
    /// How many times the sustainable rate.
    static let factor = 10.0
    /// Seconds of each measurement before the surge, when this takes longer.
    private static let before = 5
    /// The load before and after, as a part of the sustainable rate.
    private static let part = 0.25
    /// A message is slow that takes twice as long as 99 of 100 did before; below this, what else the machine does decides. Microseconds.
    private static let normalAtLeast: UInt64 = 10_000

    var pairs: Int
    var bodyBytes: Int
    var seconds: Int

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> SurgeReport {
        let seats = try await PairsLoad.seats(population, pairs: pairs)
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes, connectsAgain: true)
        try await stage.connect(seats.flatMap { [$0.sender, $0.receiver] }) { $0 / 2 }

        let first = try await BenchSnapshot.take(control)
        try await stage.start(.saturated(window: PairsLoad.window))
        try await stage.run(min(seconds, SurgeLoad.before), "measuring what the relay takes")
        try await stage.stop()
        let sustained = try await stage.wait { $0.isQuiet }
        let sustainable = BenchCost(first, try await BenchSnapshot.take(control), messages: sustained.delivered).messagesPerSecond

        let normalRate = max(1, sustainable * SurgeLoad.part)
        try await stage.start(.timed, rate: normalRate)
        try await stage.run(1, "warming up")
        try await stage.resetLatency()
        try await stage.run(min(seconds, SurgeLoad.before), "measuring the normal latency")
        let normal = BenchLatency(try await stage.latency())

        let surging = try await BenchSnapshot.take(control)
        let acceptedBefore = try await stage.tally().accepted
        var peak = surging.relay.residentBytes
        try await stage.start(.surge, rate: sustainable * SurgeLoad.factor)
        for second in 0..<seconds {
            try await stage.run(1, "surge, \(seconds - second) s to go")
            peak = max(peak, try await control.call(Status()).residentBytes)
        }
        let acceptedAfter = try await stage.tally().accepted
        let surged = try await BenchSnapshot.take(control)

        let watch = RecoveryWatch(
            start: NIODeadline.now().uptimeNanoseconds, normal: max(SurgeLoad.normalAtLeast, 2 * UInt64(normal.p99Microseconds)))
        try await stage.onEach { $0.watchRecovery(watch) }
        try await stage.start(.timed, rate: normalRate)
        var recovery: Double?
        for _ in 0..<Int(RecoveryWatch.most / 4) where recovery == nil {
            try await stage.run(1, "recovering")
            recovery = RecoveryWatch.seconds(try await stage.onEach { $0.recovery }.compactMap { $0 })
        }
        try await stage.stop()
        let tally = try await stage.wait { $0.isQuiet }
        let after = try await BenchSnapshot.take(control)
        let spent = BenchCost(surging, surged, messages: acceptedAfter - acceptedBefore)
        let report = SurgeReport(
            pairs: pairs, bodyBytes: bodyBytes, sustainablePerSecond: sustainable, offeredPerSecond: sustainable * SurgeLoad.factor,
            acceptedPerSecond: spent.messagesPerSecond, seconds: seconds, normalPerSecond: normalRate, normal: normal,
            residentBytesBefore: surging.relay.residentBytes, residentBytesPeak: peak, residentBytesAfter: after.relay.residentBytes,
            recoverySeconds: recovery, refusals: BenchRefusals(tally), verdict: try await stage.verdict())
        try await stage.close()
        return report
    }
}
