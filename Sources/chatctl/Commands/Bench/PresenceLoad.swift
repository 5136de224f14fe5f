import NIOCore
import NIOPosix
import RelayControl
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf

/// Devices that take part in presence.
struct PresenceLoad {
    var users: Int
    /// Of each user, those next to them in a ring.
    var contacts: Int
    /// Of each measurement.
    var seconds: Int

    /// How often the user who comes and goes does so in a minute.
    private static let comingsAMinute = 100

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> PresenceReport {
        let terms = try await control.call(PresenceSummary())
        let owner = try await population.addOwner().account
        let ownerContacts = min(users, Limits.contacts)
        let accounts = try await population.addRing(users, contacts: contacts, ofOwner: ownerContacts)
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: BenchFrames.stampBytes)
        try await stage.connect(accounts.enumerated().map { BenchSeat(account: $1, chat: $0) }) { $0 }

        let idle = try await measure(control, stage, "doing nothing")
        let heartbeat = Duration.seconds(terms.heartbeatSeconds)
        try await stage.onEach { $0.takePart(every: heartbeat) }
        let snapshots = try await stage.wait(.seconds(300)) { $0.snapshots >= users }.snapshots
        // Until what the joining brought about has been told.
        try await stage.run(2 * terms.heartbeatSeconds, "taking part")
        let beating = try await measure(control, stage, "with heartbeats")
        let before = try await stage.tally().told
        let visits = try await visits(of: owner, endpoint)
        let coming = try await measure(control, stage, "one comes and goes", beside: visits)
        let told = try await stage.tally().told - before
        let report = PresenceReport(
            users: users, contacts: contacts, heartbeatSeconds: terms.heartbeatSeconds, ownerContacts: ownerContacts,
            idle: idle.cost, beating: beating.cost, coming: coming.cost,
            bytesPerConnection: max(0, beating.cost.residentBytes - idle.cost.residentBytes) / users, visits: coming.visits, told: told,
            verdict: BenchVerdict(accepted: users, delivered: snapshots, lost: max(0, users - snapshots), doubled: max(0, snapshots - users)))
        try await stage.close()
        return report
    }

    private func measure(
        _ control: ControlClient, _ stage: BenchStage, _ doing: String, beside: (@Sendable () async throws -> Int)? = nil
    ) async throws -> (cost: BenchCost, visits: Int) {
        let before = try await BenchSnapshot.take(control)
        async let visits = beside?() ?? 0
        try await stage.run(seconds, doing)
        let after = try await BenchSnapshot.take(control)
        return (BenchCost(before, after, messages: 0), try await visits)
    }

    /// Comes and goes until the time is over; gives how often.
    private func visits(of account: BenchAccount, _ endpoint: Endpoint) async throws -> @Sendable () async throws -> Int {
        let seconds = seconds
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        var frame = Relay_V1_ClientFrame()
        frame.requestID = 1
        frame.presence.mode = .share
        let request: [UInt8] = try frame.serializedBytes()
        return {
            let start = ContinuousClock.now
            let pause = Duration.seconds(60) / PresenceLoad.comingsAMinute
            var visits = 0
            while ContinuousClock.now - start < .seconds(seconds) {
                let answered = loop.makePromise(of: Void.self)
                let channel = try await WebSocketClient.connect(
                    to: endpoint, path: "/v1/connect", headers: [("Authorization", "Bearer \(account.token)")], subprotocols: ["relay.v1.proto"],
                    maxMessageBytes: Limits.clientFrameBytes, on: loop
                ) { _ in PresenceVisit(answered) }
                try await loop.submit {
                    channel.send(.binary(ByteBuffer(bytes: request)))
                    channel.flush()
                }.get()
                try await answered.futureResult.get()
                channel.close(code: 1000)
                visits += 1
                try await Task.sleep(until: start + pause * visits)
            }
            return visits
        }
    }
}

/// A connection that ends when the relay has said how it takes part.
private final class PresenceVisit: WebSocketDelegate {
    private let answered: EventLoopPromise<Void>

    init(_ answered: EventLoopPromise<Void>) { self.answered = answered }

    func received(_ message: WebSocketMessage) {
        guard case .binary(let bytes) = message, BenchFrames.read(bytes, envelope: { _ in }) == .presenceTerms else { return }
        answered.succeed()
    }
    func readComplete() {}
    func closed(code: UInt16?, reason: String) { answered.fail(ChannelError.eof) }
}
