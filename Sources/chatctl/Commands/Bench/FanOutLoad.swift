import NIOCore
import RelayControl
import RelayCrypto
import RelayHTTP
import RelayModel

/// Some members of one group send to all of it.
struct FanOutLoad {
    /// The senders of a chat are found by a linear scan for each copy.
    static let mostSenders = 64

    var members: Int
    var senders: Int
    var bodyBytes: Int
    var rate: Int?
    var window: Int
    var seconds: Int

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> FanOutReport {
        let accounts = try await population.add(members)
        let devices = accounts.prefix(senders).map(\.device.rawValue)
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes)
        let count = stage.loops.count
        try await stage.connect(
            accounts.map { BenchSeat(account: $0, chat: 0, senders: devices, audience: members - 1) }
        ) { $0 % count }
        let chat = try await makeGroup(accounts, stage)
        let keys = BenchFrames.keys(accounts, SystemEntropy().bytes(PairsLoad.wrappedKeyBytes))
        for (index, account) in accounts.prefix(senders).enumerated() {
            try await stage.on(index) { $0.device(account.device)?.join(chat, keys: keys) }
        }
        try await watchCopies(devices, stage)
        let before = try await BenchSnapshot.take(control)
        if let rate { try await stage.start(.timed, rate: Double(rate)) } else { try await stage.start(.saturated(window: window)) }
        try await stage.run(seconds, "sending")
        try await stage.stop()
        let tally = try await stage.wait { $0.isQuiet }
        let after = try await BenchSnapshot.take(control)
        let spread = CopyWatch.spread(try await stage.onEach { $0.copies }.compactMap { $0 })
        let report = FanOutReport(
            members: members, senders: senders, bodyBytes: bodyBytes, rate: rate, window: rate == nil ? window : nil,
            cost: BenchCost(before, after, messages: tally.delivered), latency: BenchLatency(try await stage.latency()),
            firstToLast: BenchLatency(spread.span), dueToLast: BenchLatency(spread.last), refusals: BenchRefusals(tally),
            verdict: try await stage.verdict())
        try await stage.close()
        return report
    }

    /// The first account makes a group of all.
    private func makeGroup(_ accounts: [BenchAccount], _ stage: BenchStage) async throws -> UInt64 {
        let others = accounts.dropFirst().map(\.user.rawValue)
        let owner = accounts[0].device
        let made = stage.loops[0].eventLoop.makePromise(of: UInt64.self)
        try await stage.on(0) { loop in
            guard let device = loop.device(owner) else { return made.fail(ChannelError.ioOnClosedChannel) }
            device.makeGroup(with: others, made)
        }
        do {
            return try await made.futureResult.get()
        } catch {
            throw ControlError(.failed, "the group cannot be made: \(error)", hint: "is relayd of the same version as chatctl?")
        }
    }

    private func watchCopies(_ senders: [UInt64], _ stage: BenchStage) async throws {
        let count = stage.loops.count
        let boxes = stage.loops
        // Members sit on the loops in turn; a sender gets no copy of its own.
        let here = (0..<count).map { loop in
            Dictionary(
                uniqueKeysWithValues: senders.enumerated().map { index, sender in
                    (sender, (members - loop + count - 1) / count - (index % count == loop ? 1 : 0))
                })
        }
        let loops = Dictionary(
            uniqueKeysWithValues: senders.map { sender in (sender, here.reduce(0) { $0 + ($1[sender, default: 0] > 0 ? 1 : 0) }) })
        let homes = Dictionary(uniqueKeysWithValues: senders.enumerated().map { ($1, $0 % count) })
        for (index, copies) in here.enumerated() {
            let watch = CopyWatch(loops: loops, here: copies) { sender, number in
                guard let home = homes[sender] else { return }
                let box = boxes[home]
                box.eventLoop.execute { box.value.device(DeviceID(sender))?.copiesArrived(number) }
            }
            try await stage.on(index) { $0.watchCopies(watch) }
        }
    }
}
