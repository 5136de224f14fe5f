import RelayModel
import Synchronization

/// How much is too much; the configuration fills it in. Rates are per second; 0 turns a limit off. The reasons are in ``Limits``.
package struct RateLimits: Sendable, Equatable {
    /// What happens to a sender over the anomaly threshold.
    package enum OverThreshold: String, Sendable, CaseIterable {
        /// An alert, nothing else.
        case report
        /// An alert, and the user is suspended.
        case suspend
    }

    package var messagesPerDevice = Limits.messagesPerDevice
    package var messagesPerUser = Limits.messagesPerUser
    package var messagesPerAddress = Limits.messagesPerAddress
    package var requestsPerAddress = Limits.requestsPerAddress
    package var connectionsPerAddress = Limits.connectionsPerAddress
    package var signInsPerAddress = Limits.signInsPerAddress
    /// Connections of an address that are not WebSockets, at the same time.
    package var pendingPerAddress = Limits.pendingPerAddress
    package var handshakesPerSecond = Limits.handshakesPerSecond
    /// Loopback is an address like any other. Otherwise it is exempt: a proxy there stands for everybody.
    package var limitLoopback = false
    package var anomalyMessages = Limits.anomalyMessages
    package var anomalyWindow = Limits.anomalyWindow
    package var overThreshold = OverThreshold.report
    package init() {}
}

/// The limits in force, which a reload changes under running connections: one atomic number each, so that reading one takes no lock. Any
/// thread. Between two of them a reader may see the old and the new; no decision depends on two.
final class RatesInForce: Sendable {
    private let messagesPerDevice = Atomic(0)
    private let messagesPerUser = Atomic(0)
    private let messagesPerAddress = Atomic(0)
    private let requestsPerAddress = Atomic(0)
    private let connectionsPerAddress = Atomic(0)
    private let signInsPerAddress = Atomic(0)
    private let handshakes = Atomic(0)
    private let pending = Atomic(0)
    private let loopback = Atomic(false)
    private let anomalous = Atomic(0)
    private let windowNanoseconds = Atomic(Int64(0))
    private let suspending = Atomic(false)

    init(_ limits: RateLimits) { apply(limits) }

    func apply(_ limits: RateLimits) {
        messagesPerDevice.store(limits.messagesPerDevice, ordering: .relaxed)
        messagesPerUser.store(limits.messagesPerUser, ordering: .relaxed)
        messagesPerAddress.store(limits.messagesPerAddress, ordering: .relaxed)
        requestsPerAddress.store(limits.requestsPerAddress, ordering: .relaxed)
        connectionsPerAddress.store(limits.connectionsPerAddress, ordering: .relaxed)
        signInsPerAddress.store(limits.signInsPerAddress, ordering: .relaxed)
        handshakes.store(limits.handshakesPerSecond, ordering: .relaxed)
        pending.store(limits.pendingPerAddress, ordering: .relaxed)
        loopback.store(limits.limitLoopback, ordering: .relaxed)
        anomalous.store(limits.anomalyMessages, ordering: .relaxed)
        windowNanoseconds.store(limits.anomalyWindow.nanoseconds, ordering: .relaxed)
        suspending.store(limits.overThreshold == .suspend, ordering: .relaxed)
    }

    var messagesOfDevice: Rate? { Rate(perSecond: messagesPerDevice.load(ordering: .relaxed)) }
    var messagesOfUser: Rate? { Rate(perSecond: messagesPerUser.load(ordering: .relaxed)) }
    var messagesOfAddress: Rate? { Rate(perSecond: messagesPerAddress.load(ordering: .relaxed)) }
    var requestsOfAddress: Rate? { Rate(perSecond: requestsPerAddress.load(ordering: .relaxed)) }
    var connectionsOfAddress: Rate? { Rate(perSecond: connectionsPerAddress.load(ordering: .relaxed)) }
    var signInsOfAddress: Rate? { Rate(perSecond: signInsPerAddress.load(ordering: .relaxed)) }
    var handshakesOfAll: Rate? { Rate(perSecond: handshakes.load(ordering: .relaxed), burstSeconds: Limits.handshakeBurstSeconds) }
    /// 0: without limit.
    var pendingOfAddress: Int { pending.load(ordering: .relaxed) }
    var limitsLoopback: Bool { loopback.load(ordering: .relaxed) }
    /// 0: nobody is watched.
    var anomalyMessages: Int { anomalous.load(ordering: .relaxed) }
    var anomalyWindow: Int64 { windowNanoseconds.load(ordering: .relaxed) }
    var suspendsOverThreshold: Bool { suspending.load(ordering: .relaxed) }
}
