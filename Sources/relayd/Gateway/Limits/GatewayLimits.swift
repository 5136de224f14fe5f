import NIOCore
import RelayDirectory
import RelayMetrics
import RelayModel
import Synchronization

/// Decides what is too much, for all connections of a gateway. Any thread.
///
/// Per connection it costs a look into two tables; per message three locks that are rarely contended, and no look into a table. What is
/// refused is `rate_limited` with a time to wait.
final class GatewayLimits: Sendable {
    let rates: RatesInForce
    let clock: any MonotonicClock
    private let directory: Directory
    private let alerts: (any AlertSink)?
    let metrics: Metrics
    let addresses = MeterTable<NetworkAddress, AddressMeter>()
    let users = MeterTable<UserID, UserMeter>()
    let prekeys = PrekeyMeters()
    /// Of what devices ask about presence.
    let presence = MeterTable<DeviceID, BucketMeter>()
    private let handshakes = Mutex((allowed: TokenBucket(), returning: Int64.min))

    init(
        _ limits: RateLimits, clock: any MonotonicClock, directory: Directory, alerts: (any AlertSink)?, metrics: Metrics = Metrics()
    ) {
        rates = RatesInForce(limits)
        self.clock = clock
        self.directory = directory
        self.alerts = alerts
        self.metrics = metrics
    }

    // MARK: Connections

    enum Arrival {
        /// Without a visit the address does not count.
        case welcome(AddressVisit?)
        case refused
    }

    /// A connection was accepted.
    func arrival(from address: SocketAddress?) -> Arrival {
        guard let address = counted(NetworkAddress(address)) else { return .welcome(nil) }
        let visit = AddressVisit(address, self)
        guard visit.meter.enter(rates.connectionsOfAddress, pendingLimit: rates.pendingOfAddress, at: clock.nanoseconds()) else {
            metrics.rateLimited.add(.connections)
            return .refused
        }
        return .welcome(visit)
    }

    /// Addresses that are held to limits.
    private func counted(_ address: NetworkAddress?) -> NetworkAddress? {
        guard let address, !address.isLoopback || rates.limitsLoopback else { return nil }
        return address
    }

    /// A device wants its connection upgraded.
    func refusalOfHandshake(_ principal: Principal) -> WireFailure? {
        guard !principal.noLimits, let rate = rates.handshakesOfAll else { return nil }
        let now = clock.nanoseconds()
        let wait: Int64? = handshakes.withLock { state in
            guard state.allowed.take(rate, at: now) != nil else { return nil }
            // Each that is refused is told a moment of its own, one behind the other, so that they do not all come back at once.
            let ceiling = now + Limits.handshakeRetryCeiling.nanoseconds
            state.returning = min(ceiling, max(state.returning, now + Limits.rateLimitedRetry.nanoseconds) + rate.interval)
            return state.returning - now
        }
        if wait != nil { metrics.rateLimited.add(.handshakes) }
        return wait.map { .rateLimited("more devices connect than the relay takes in a second", wait: $0) }
    }

    // MARK: REST

    func checkRequest(from address: NetworkAddress?) throws(WireFailure) {
        try check(address, rates.requestsOfAddress, .requests, "this address makes too many requests") { $0.takeRequest($1, at: $2) }
    }

    /// Challenges, tokens and enrolments.
    func checkSignIn(from address: NetworkAddress?) throws(WireFailure) {
        try check(address, rates.signInsOfAddress, .signIns, "this address signs in too often") { $0.takeSignIn($1, at: $2) }
    }

    private func check(
        _ address: NetworkAddress?, _ rate: Rate?, _ kind: RateLimitKind, _ text: String, _ take: (AddressMeter, Rate, Int64) -> Int64?
    ) throws(WireFailure) {
        guard let address = counted(address), let rate else { return }
        let now = clock.nanoseconds()
        let meter = addresses.borrow(address, at: now)
        let wait = take(meter, rate, now)
        addresses.giveBack(address, at: now)
        guard let wait else { return }
        metrics.rateLimited.add(kind)
        throw .rateLimited(text, wait: wait)
    }

    /// A message that comes over REST. There is no order to keep: its sender waits for the answer.
    func checkMessage(of principal: Principal, from address: NetworkAddress?) throws(WireFailure) {
        guard !principal.noLimits else { return }
        let now = clock.nanoseconds()
        let address = counted(address)
        let meter = users.borrow(principal.user, at: now)
        let addressMeter = address.map { addresses.borrow($0, at: now) }
        defer {
            users.giveBack(principal.user, at: now)
            if let address { addresses.giveBack(address, at: now) }
        }
        count(principal.user, meter, at: now)
        guard let wait = take(principal.device, meter, addressMeter, at: now) else { return }
        countRefusedMessage()
        throw .rateLimited(GatewayLimits.tooManyMessages, wait: wait)
    }

    // MARK: Messages

    /// What a new WebSocket of a device may send; nil for a device without limits.
    func allowance(for principal: Principal, _ visit: AddressVisit?) -> ConnectionAllowance? {
        principal.noLimits ? nil : ConnectionAllowance(principal, visit, self)
    }

    static let tooManyMessages = "too many messages in too short a time"
    static let tooManyReads = "too many reads in too short a time"

    func countRefusedMessage() {
        metrics.rateLimited.add(.messages)
        metrics.sends.add(.rateLimited)
    }

    /// A token of the device, of its user and of its address, or none of them.
    /// - Returns: nil, or nanoseconds to wait.
    func take(_ device: DeviceID, _ user: UserMeter, _ address: AddressMeter?, at now: Int64) -> Int64? {
        let deviceRate = rates.messagesOfDevice
        let userRate = rates.messagesOfUser
        if let wait = user.take(device, deviceRate, userRate, at: now) { return wait }
        guard let address, let rate = rates.messagesOfAddress, let wait = address.takeMessage(rate, at: now) else { return nil }
        user.putBack(device, deviceRate, userRate)
        return wait
    }

    /// Counts a message that was asked for, and reports a user who asks for more than a person does.
    func count(_ user: UserID, _ meter: UserMeter, at now: Int64) {
        let threshold = rates.anomalyMessages
        let window = rates.anomalyWindow
        guard threshold > 0, let messages = meter.count(threshold: threshold, window: window, at: now) else { return }
        alerts?.raise(AlertEvent(.highSendRate, about: .user(user), figure: messages))
        guard rates.suspendsOverThreshold else { return }
        // One at most for each user and window.
        Task { [directory] in
            await directory.suspendByItself(user, reason: "more than \(threshold) messages in \(window / 1_000_000_000) s")
        }
    }
}

/// One connection's place in the count of its address. Given back when the connection has gone.
final class AddressVisit: Sendable {
    let meter: AddressMeter
    private let address: NetworkAddress
    private let limits: GatewayLimits

    init(_ address: NetworkAddress, _ limits: GatewayLimits) {
        self.address = address
        self.limits = limits
        meter = limits.addresses.borrow(address, at: limits.clock.nanoseconds())
    }

    deinit { limits.addresses.giveBack(address, at: limits.clock.nanoseconds()) }
}
