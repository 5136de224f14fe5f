import RelayControl
import RelayCrypto
import RelayHTTP
import RelayModel

/// One of two sends to the other.
struct PairsLoad {
    /// Messages of a sender under way at saturation.
    static let window = 8

    var pairs: Int
    var bodyBytes: Int
    var rate: Int?
    var seconds: Int

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> PairsReport {
        let seats = try await PairsLoad.seats(population, pairs: pairs)
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes)
        try await stage.connect(seats.flatMap { [$0.sender, $0.receiver] }) { $0 / 2 }
        let before = try await BenchSnapshot.take(control)
        if let rate { try await stage.start(.timed, rate: Double(rate)) } else { try await stage.start(.saturated(window: PairsLoad.window)) }
        try await stage.run(seconds, "sending")
        try await stage.stop()
        let tally = try await stage.wait { $0.isQuiet }
        let after = try await BenchSnapshot.take(control)
        let report = PairsReport(
            pairs: pairs, bodyBytes: bodyBytes, rate: rate, cost: BenchCost(before, after, messages: tally.delivered),
            latency: BenchLatency(try await stage.latency()), refusals: BenchRefusals(tally), verdict: try await stage.verdict())
        try await stage.close()
        return report
    }

    /// Adds the users of so many pairs, with a chat each.
    /// - Parameters:
    ///   - bothSend: also the receiver sends.
    ///   - limit: messages of each sender.
    ///   - firstChat: the number of the first chat within the run.
    static func seats(
        _ population: BenchPopulation, pairs: Int, bothSend: Bool = false, limit: UInt64 = .max, firstChat: Int = 0
    ) async throws -> [(sender: BenchSeat, receiver: BenchSeat)] {
        let accounts = try await population.add(2 * pairs)
        let both = (0..<pairs).map { (accounts[2 * $0], accounts[2 * $0 + 1]) }
        let chats = try await population.openChats(both)
        let random = SystemEntropy().bytes(wrappedKeyBytes)
        return both.enumerated().map { index, pair in
            let senders = bothSend ? [pair.0.device.rawValue, pair.1.device.rawValue] : [pair.0.device.rawValue]
            let keys = BenchFrames.keys([pair.0, pair.1], random)
            func seat(_ account: BenchAccount) -> BenchSeat {
                BenchSeat(account: account, chat: firstChat + index, chatID: chats[index], senders: senders, keys: keys, audience: 1, limit: limit)
            }
            return (seat(pair.0), seat(pair.1))
        }
    }

    /// What `crypto_box` makes of a 32-byte key.
    static let wrappedKeyBytes = 48
}
