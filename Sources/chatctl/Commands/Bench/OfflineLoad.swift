import RelayControl
import RelayHTTP

/// Senders send while the receivers are away; then these come and take everything.
struct OfflineLoad {
    /// Pairs that are live while one device catches up, and what they send together in a second.
    static let livePairs = 8
    static let liveRate = 200.0
    /// The one who fills the mailbox of the device that is away has nobody to share the relay with: a wide window fills its batches.
    private static let backlogWindow = 128
    /// A slow relay is waited for.
    private static let patience = Duration.seconds(600)

    var pairs: Int
    var bodyBytes: Int
    var messages: Int
    var backlog: Int

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> OfflineReport {
        let each = UInt64((messages + pairs - 1) / pairs)
        let wanted = Int(each) * pairs
        let seats = try await PairsLoad.seats(population, pairs: pairs, limit: each)
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes)
        try await stage.connect(seats.map(\.sender)) { $0 }

        let start = try await BenchSnapshot.take(control)
        Talk.progress("storing \(Figures.count(wanted)) messages")
        try await stage.start(.saturated(window: PairsLoad.window))
        try await stage.wait(OfflineLoad.patience) { $0.answered >= wanted }
        let stored = try await BenchSnapshot.take(control)
        try await stage.stop()

        Talk.progress("draining \(Figures.count(wanted)) messages")
        try await stage.connect(seats.map(\.receiver)) { $0 }
        let tally = try await stage.wait(OfflineLoad.patience) { $0.isQuiet }
        let drained = try await BenchSnapshot.take(control)
        Talk.endProgress()
        var verdict = try await stage.verdict()
        try await stage.close()

        let catchingUp = backlog > 0 ? try await catchUp(control, endpoint, population) : nil
        if let catchingUp { verdict = verdict + catchingUp.verdict }
        return OfflineReport(
            pairs: pairs, bodyBytes: bodyBytes, store: BenchCost(start, stored, messages: tally.accepted),
            drain: BenchCost(stored, drained, messages: tally.delivered), backlog: catchingUp?.backlog, refusals: BenchRefusals(tally),
            verdict: verdict)
    }

    /// One device with much to catch up with, while others are live.
    private func catchUp(
        _ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation
    ) async throws -> (backlog: OfflineReport.Backlog, verdict: BenchVerdict) {
        let missed = try await PairsLoad.seats(population, pairs: 1, limit: UInt64(backlog))
        let away = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes)
        try await away.connect([missed[0].sender]) { $0 }
        Talk.progress("storing \(Figures.count(backlog)) messages for one device")
        try await away.start(.saturated(window: OfflineLoad.backlogWindow))
        try await away.wait(OfflineLoad.patience) { $0.answered >= backlog }
        try await away.stop()

        let others = try await PairsLoad.seats(population, pairs: OfflineLoad.livePairs)
        let live = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes)
        try await live.connect(others.flatMap { [$0.sender, $0.receiver] }) { $0 / 2 }
        try await live.start(.timed, rate: OfflineLoad.liveRate)
        try await live.run(1, "warming up")
        try await live.resetLatency()
        Talk.progress("one device catches up")
        let before = try await BenchSnapshot.take(control)
        try await away.connect([missed[0].receiver]) { $0 }
        let tally = try await away.wait(OfflineLoad.patience) { $0.isQuiet }
        let after = try await BenchSnapshot.take(control)
        let latency = BenchLatency(try await live.latency())
        try await live.stop()
        try await live.wait { $0.isQuiet }
        let verdict = try await away.verdict() + live.verdict()
        try await away.close()
        try await live.close()
        let cost = BenchCost(before, after, messages: tally.delivered)
        return (
            OfflineReport.Backlog(messages: tally.delivered, seconds: cost.seconds, messagesPerSecond: cost.messagesPerSecond, live: latency), verdict
        )
    }
}
