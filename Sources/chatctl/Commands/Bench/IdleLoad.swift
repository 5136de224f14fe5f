import RelayControl
import RelayHTTP

/// Connections that do nothing.
struct IdleLoad {
    /// Connections before the first measurement.
    static let warmUp = 300

    /// Numbers of connections to measure at, rising.
    var steps: [Int]

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> IdleReport {
        let accounts = try await population.add(IdleLoad.warmUp + (steps.last ?? 0))
        let seats = accounts.enumerated().map { BenchSeat(account: $1, chat: $0) }
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: BenchFrames.stampBytes)
        try await stage.connect(Array(seats.prefix(IdleLoad.warmUp))) { $0 }
        let before = try await BenchSnapshot.take(control)
        var results: [IdleReport.Step] = []
        var connected = 0
        var last = before
        for step in steps where step > connected {
            try await stage.connect(Array(seats[(IdleLoad.warmUp + connected)..<(IdleLoad.warmUp + step)])) { $0 }
            connected = step
            last = try await BenchSnapshot.take(control)
            guard last.relay.connections >= IdleLoad.warmUp + step else {
                throw ControlError(
                    .failed, "only \(last.relay.connections) of \(IdleLoad.warmUp + step) connections are open", hint: "journalctl -u relayd says why"
                )
            }
            results.append(
                IdleReport.Step(
                    connections: step, residentBytes: last.relay.residentBytes,
                    bytesPerConnection: max(0, last.relay.residentBytes - before.relay.residentBytes) / step))
        }
        // None of them ended meanwhile.
        try await stage.wait(.zero) { _ in true }
        let cost = BenchCost(before, last, messages: connected)
        let report = IdleReport(
            warmUp: IdleLoad.warmUp, residentBytesBefore: before.relay.residentBytes, steps: results, connectionsPerSecond: cost.messagesPerSecond,
            cpuMicrosecondsPerConnection: cost.cpuMicrosecondsPerMessage, verdict: try await stage.verdict())
        try await stage.close()
        return report
    }
}
