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
    /// Of each member.
    var devices: Int
    var senders: Int
    var bodyBytes: Int
    var rate: Int?
    var window: Int
    var seconds: Int

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> FanOutReport {
        let people = try await population.add(members, devices: devices)
        let accounts = people.flatMap { $0 }
        // Those send with their first device.
        let sending = (0..<senders).map { $0 * devices }
        let senderDevices = sending.map { accounts[$0].device.rawValue }
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: bodyBytes)
        let count = stage.loops.count
        try await stage.connect(
            accounts.map { BenchSeat(account: $0, chat: 0, senders: senderDevices, audience: members * devices - 1) }
        ) { $0 % count }
        let chat = try await makeGroup(people.compactMap(\.first), stage)
        let keys = BenchFrames.keys(accounts, SystemEntropy().bytes(PairsLoad.wrappedKeyBytes))
        for seat in sending {
            let device = accounts[seat].device
            try await stage.on(seat) { $0.device(device)?.join(chat, keys: keys) }
        }
        try await watchCopies(Dictionary(uniqueKeysWithValues: zip(senderDevices, sending)), stage)
        let before = try await BenchSnapshot.take(control)
        if let rate { try await stage.start(.timed, rate: Double(rate)) } else { try await stage.start(.saturated(window: window)) }
        try await stage.run(seconds, "sending")
        try await stage.stop()
        let tally = try await stage.wait { $0.isQuiet }
        let after = try await BenchSnapshot.take(control)
        let spread = CopyWatch.spread(try await stage.onEach { $0.copies }.compactMap { $0 })
        let report = FanOutReport(
            members: members, devices: devices, senders: senders, bodyBytes: bodyBytes, rate: rate, window: rate == nil ? window : nil,
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

    /// - Parameter senders: the devices that send, with their seats.
    private func watchCopies(_ senders: [UInt64: Int], _ stage: BenchStage) async throws {
        let count = stage.loops.count
        let boxes = stage.loops
        // Devices sit on the loops in turn; a sender gets no copy of its own.
        let seats = members * devices
        let here = (0..<count).map { loop in
            senders.mapValues { seat in (seats - loop + count - 1) / count - (seat % count == loop ? 1 : 0) }
        }
        let homes = senders.mapValues { $0 % count }
        let loops = Dictionary(
            uniqueKeysWithValues: senders.keys.map { sender in (sender, here.reduce(0) { $0 + ($1[sender, default: 0] > 0 ? 1 : 0) }) })
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
