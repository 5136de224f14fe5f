import RelayDirectory
import RelayMetrics
import RelayModel
import Synchronization

/// Who fetches prekeys of whom, so that nobody can use up another one's. Any thread.
///
/// What one user takes of another is held, whatever devices they use: one contact cannot drain another one. What one device takes of all is held,
/// too. There is no bound on what is taken of one user by all: those are their contacts, and such a bound would let one of them shut out the
/// others.
final class PrekeyMeters: Sendable {
    struct Pair: Hashable, Sendable {
        var user: UserID
        var target: UserID
    }

    let pairs = MeterTable<Pair, BucketMeter>()
    let devices = MeterTable<DeviceID, BucketMeter>()
}

/// One bucket.
final class BucketMeter: Meter {
    private let bucket = Mutex(TokenBucket())

    init() {}

    func isIdle(at now: Int64) -> Bool { bucket.withLock { $0.isFull(at: now) } }
    func take(_ rate: Rate, at now: Int64) -> Int64? { bucket.withLock { $0.take(rate, at: now) } }
    func putBack(_ rate: Rate) { bucket.withLock { $0.putBack(rate) } }
}

extension GatewayLimits {
    private static let ofPair = Rate(tokens: Limits.prekeyFetchesOfPair, every: Limits.prekeyFetchOfPairInterval)
    private static let ofDevice = Rate(tokens: Limits.prekeyFetchesOfDevice, every: Limits.prekeyFetchOfDeviceInterval)

    private static let presenceOfDevice = Rate(tokens: Limits.presenceQueries, every: Limits.presenceQueryInterval)

    /// A device asks about presence, or changes what its user shares.
    func checkPresence(_ principal: Principal) throws(WireFailure) {
        guard !principal.noLimits else { return }
        let now = clock.nanoseconds()
        let meter = presence.borrow(principal.device, at: now)
        defer { presence.giveBack(principal.device, at: now) }
        if let wait = meter.take(Self.presenceOfDevice, at: now) { throw .rateLimited("this device asks about presence too often", wait: wait) }
    }

    /// A device wants prekeys of a user's devices.
    func checkPrekeys(_ principal: Principal, of target: UserID) throws(WireFailure) {
        guard !principal.noLimits else { return }
        let now = clock.nanoseconds()
        let pair = PrekeyMeters.Pair(user: principal.user, target: target)
        let device = prekeys.devices.borrow(principal.device, at: now)
        let meter = prekeys.pairs.borrow(pair, at: now)
        defer {
            prekeys.devices.giveBack(principal.device, at: now)
            prekeys.pairs.giveBack(pair, at: now)
        }
        if let wait = device.take(Self.ofDevice, at: now) {
            metrics.rateLimited.add(.prekeys)
            throw .rateLimited("this device fetches too many prekeys", wait: wait)
        }
        if let wait = meter.take(Self.ofPair, at: now) {
            device.putBack(Self.ofDevice)
            metrics.rateLimited.add(.prekeys)
            throw .rateLimited("too many prekeys of this user were fetched", wait: wait)
        }
    }
}
