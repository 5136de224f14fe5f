import FoundationEssentials
import Histogram
import NIOCore
import NIOPosix
import RelayClient
import RelayControl
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayWire

/// One measurement: adds users, connects their devices, sends, counts, and removes the users again.
///
/// It speaks the wire protocol directly instead of using the client library, so that the clients' own work (sealing, their disk)
/// does not hide the relay's.
struct BenchRun {
    /// How long accepted messages may take to arrive after the last one was sent.
    static let drainSeconds = 10

    var control: ControlClient
    var pairs: Int
    var bodyBytes: Int
    var rate: Int?
    var seconds: Int
    var url: String?

    /// One enrolled device, with what connecting it takes.
    private struct Device {
        var user: UserID
        var id: DeviceID
        var token: String
    }

    func run() async throws -> BenchReport {
        let status = try await control.call(Status())
        let endpoint = try address(url ?? status.publicURL)
        let group = MultiThreadedEventLoopGroup.singleton
        let names = (0..<pairs * 2).map { "bench-\(status.processID)-\(UInt32.random(in: .min ... .max))-\($0)" }
        do {
            let report = try await measure(endpoint, group, names)
            try await remove(names)
            return report
        } catch {
            try await remove(names)
            throw error
        }
    }

    private func address(_ url: String) throws(ControlError) -> Endpoint {
        do {
            return try Endpoint(url: url)
        } catch {
            throw ControlError(.badRequest, "\(error)", hint: "name the address with --url")
        }
    }

    private func measure(_ endpoint: Endpoint, _ group: MultiThreadedEventLoopGroup, _ names: [String]) async throws -> BenchReport {
        let api = RelayAPI(endpoint: endpoint, group: group)
        var boxes: [NIOLoopBoundBox<BenchPair>] = []
        var devices: [(sender: Device, receiver: Device)] = []
        for index in 0..<pairs {
            Talk.progress("adding pair \(index + 1) of \(pairs)")
            let sender = try await enrol(names[2 * index], api)
            let receiver = try await enrol(names[2 * index + 1], api)
            let chat = try await api.openChat(with: receiver.user, token: sender.token)
            let loop = group.next()
            let pair = BenchPair(loop: loop, chat: ChatID(chat.chatID), keys: keys([sender, receiver]), bodyBytes: bodyBytes)
            boxes.append(.makeBoxSendingValue(pair, eventLoop: loop))
            devices.append((sender, receiver))
        }
        await api.close()

        // The first pair makes the relay allocate what all connections share; only the others show what one costs.
        var before: Status.Reply?
        for (box, pair) in zip(boxes, devices) {
            try await connect(pair.sender, sends: true, box, endpoint)
            try await connect(pair.receiver, sends: false, box, endpoint)
            if before == nil { before = try await control.call(Status()) }
        }
        let connected = try await control.call(Status())

        Talk.progress("sending for \(seconds) s")
        let interval = rate.map { UInt64(1_000_000_000 * pairs / $0) }
        for (index, box) in boxes.enumerated() {
            let delay = (interval ?? 0) * UInt64(index) / UInt64(pairs)
            try await box.eventLoop.submit { box.value.start(interval: interval, delay: delay) }.get()
        }
        try await Task.sleep(for: .seconds(seconds))
        let quiet = boxes.map { box in box.eventLoop.flatSubmit { box.value.finish() } }
        for box in boxes {
            box.eventLoop.scheduleTask(in: .seconds(Int64(BenchRun.drainSeconds))) { box.value.close() }
        }
        for future in quiet { try await future.get() }
        let after = try await control.call(Status())
        Talk.endProgress()

        var total = BenchPair.Counts()
        for box in boxes {
            let counts = try await box.eventLoop.submit { () -> BenchPair.Counts in
                box.value.close()
                return box.value.counts
            }.get()
            total.accepted += counts.accepted
            total.delivered += counts.delivered
            total.doubled += counts.doubled
            total.refused += counts.refused
            total.latency.add(counts.latency)
            total.broken = total.broken ?? counts.broken
        }
        if let broken = total.broken { throw ControlError(.failed, broken, hint: "journalctl -u relayd says how it was") }
        let messages = max(1, total.delivered)
        return BenchReport(
            pairs: pairs, bodyBytes: bodyBytes, rate: rate, seconds: seconds, accepted: total.accepted, delivered: total.delivered,
            messagesPerSecond: Double(total.delivered) / Double(seconds),
            p50Microseconds: Int(total.latency.valueAtPercentile(50)), p99Microseconds: Int(total.latency.valueAtPercentile(99)),
            p999Microseconds: Int(total.latency.valueAtPercentile(99.9)),
            cpuMicrosecondsPerMessage: Double(after.cpuMicroseconds - connected.cpuMicroseconds) / Double(messages),
            commandsPerCommit: Double(after.commandsApplied - connected.commandsApplied) / Double(max(1, after.commits - connected.commits)),
            residentBytes: after.residentBytes,
            residentBytesPerConnection: before.flatMap { pairs > 1 ? max(0, connected.residentBytes - $0.residentBytes) / (2 * (pairs - 1)) : nil },
            lost: total.accepted - total.delivered, doubled: total.doubled, refused: total.refused)
    }

    /// Adds a user and enrols their only device.
    private func enrol(_ name: String, _ api: RelayAPI) async throws -> Device {
        let added = try await control.call(UserAdd(user: name, noLimits: true))
        let secrets = DeviceSecrets.generate(SystemEntropy())
        let enrolled = try await api.enrol(code: added.invite.code, deviceName: "bench", secrets: secrets)
        let device = DeviceID(enrolled.deviceID)
        let token = try await api.token(device: device, secrets: secrets)
        return Device(user: UserID(enrolled.userID), id: device, token: token.token)
    }

    /// As long as real ones: what `crypto_box` makes of a 32-byte key.
    private func keys(_ devices: [Device]) -> [Relay_V1_MemberKeys] {
        let entropy = SystemEntropy()
        return devices.map { device in
            var wrapped = Relay_V1_WrappedKey()
            wrapped.deviceID = device.id.rawValue
            wrapped.key = Data(entropy.bytes(48))
            var keys = Relay_V1_MemberKeys()
            keys.userID = device.user.rawValue
            keys.devices = [wrapped]
            return keys
        }
    }

    private func connect(_ device: Device, sends: Bool, _ box: NIOLoopBoundBox<BenchPair>, _ endpoint: Endpoint) async throws {
        let caughtUp = box.eventLoop.makePromise(of: Void.self)
        do {
            _ = try await WebSocketClient.connect(
                to: endpoint, path: "/v1/connect", headers: [("Authorization", "Bearer \(device.token)")], subprotocols: ["relay.v1.proto"],
                maxMessageBytes: Limits.bodyBytesCeiling * 4, on: box.eventLoop
            ) { box.value.side($0, sends: sends, caughtUp: caughtUp) }
        } catch {
            caughtUp.fail(error)
        }
        do {
            try await caughtUp.futureResult.get()
        } catch {
            throw ControlError(.failed, "a device cannot connect: \(error)", hint: "chatctl status shows where the relay listens")
        }
    }

    /// Removes those of the users that were added.
    private func remove(_ names: [String]) async throws(ControlError) {
        defer { Talk.endProgress() }
        for name in names {
            Talk.progress("removing \(name)")
            do {
                _ = try await control.call(UserRemove(user: name, reason: "end of chatctl bench"))
            } catch {
                // They were added in this order: the first one that is missing was never added, nor were those behind it.
                guard error.code == .notFound else { throw error }
                return
            }
        }
    }
}
