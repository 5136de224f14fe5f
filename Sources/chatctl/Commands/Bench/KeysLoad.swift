import Histogram
import NIOCore
import NIOPosix
import RelayClient
import RelayControl
import RelayCrypto
import RelayHTTP
import RelayModel

/// A device changes its agreement key, and all devices of its user's contacts are told.
struct KeysLoad {
    var contacts: Int
    /// Of each user.
    var devices: Int
    /// One after the other: the next one when everybody has heard of the one before.
    var changes: Int

    var connections: Int { (contacts + 1) * devices }

    func run(_ control: ControlClient, _ endpoint: Endpoint, _ population: BenchPopulation) async throws -> KeysReport {
        let owner = try await population.addOwner()
        let others = try await population.addContacts(contacts, devices: devices, ownerDevices: devices - 1)
        let stage = try await BenchStage(endpoint: endpoint, bodyBytes: BenchFrames.stampBytes)
        let seats = ([owner.account] + others).enumerated().map { BenchSeat(account: $1, chat: $0) }
        let count = stage.loops.count
        try await stage.connect(seats) { $0 % count }
        let api = RelayAPI(endpoint: endpoint, group: MultiThreadedEventLoopGroup.singleton)
        var last = BenchLoop.histogram()
        var answered = BenchLoop.histogram()
        // The device that changed its key is not told.
        let told = seats.count - 1
        let before = try await BenchSnapshot.take(control)
        for change in 1...changes {
            Talk.progress("changing keys: \(change) of \(changes)")
            let published = DeviceSecrets.generate(SystemEntropy()).agreementKey
            let signature = owner.secrets.sign(Signing.agreementMessage(agreementKey: published))
            let due = NIODeadline.now().uptimeNanoseconds
            _ = try await api.replaceAgreementKey(
                of: owner.account.device, with: published, signature: signature, grace: Limits.keyGrace, token: owner.account.token)
            answered.record(microseconds(since: due, NIODeadline.now().uptimeNanoseconds))
            let tally = try await stage.wait { $0.keyChanges >= change * told }
            last.record(microseconds(since: due, tally.lastKeyChange))
        }
        Talk.endProgress()
        let after = try await BenchSnapshot.take(control)
        // Whoever hears of a change twice does so now.
        let tally = try await stage.wait(.milliseconds(100)) { _ in false }
        let report = KeysReport(
            contacts: contacts, devices: devices, changes: changes, cost: BenchCost(before, after, messages: changes * told),
            answered: BenchLatency(answered), changeToLast: BenchLatency(last),
            verdict: BenchVerdict(
                accepted: changes, delivered: tally.keyChanges, lost: max(0, changes * told - tally.keyChanges),
                doubled: max(0, tally.keyChanges - changes * told)))
        try await stage.close()
        await api.close()
        return report
    }

    private func microseconds(since due: UInt64, _ now: UInt64) -> UInt64 { min(now > due ? (now - due) / 1000 : 0, BenchLoop.longestLatency) }
}
