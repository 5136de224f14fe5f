import RelayControl
import RelayHTTP

/// Many connections of which each sends now and then.
struct SeedLoad {
    var connections: Int
    var bodyBytes: Int
    var every: Int
    var seconds: Int

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> SeedReport {
        let seats = try await PairsLoad.seats(population, pairs: connections / 2, bothSend: true)
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes)
        try await stage.connect(seats.flatMap { [$0.sender, $0.receiver] }) { $0 / 2 }
        let before = try await BenchSnapshot.take(control)
        try await stage.start(.timed, rate: Double(connections) / Double(every))
        try await stage.run(seconds, "sending")
        try await stage.stop()
        let tally = try await stage.wait { $0.isQuiet }
        let after = try await BenchSnapshot.take(control)
        let report = SeedReport(
            connections: connections, bodyBytes: bodyBytes, everySeconds: every, cost: BenchCost(before, after, messages: tally.delivered),
            latency: BenchLatency(try await stage.latency()), refusals: BenchRefusals(tally), verdict: try await stage.verdict())
        try await stage.close()
        return report
    }
}
