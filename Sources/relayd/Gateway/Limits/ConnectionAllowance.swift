import RelayDirectory
import RelayMetrics
import RelayModel

/// What one WebSocket may send. Confined to its event loop.
///
/// It keeps the order of the sends: behind one that was refused, every later one is refused too until the wait is over, and then until the
/// refused one (or one before it) has come again. Otherwise a send that was on its way already could overtake it. A client that gave the
/// refused one up waits ``Limits/rateOrderHeld`` longer.
final class ConnectionAllowance {
    private struct Refused {
        /// The lowest one.
        var clientMessageID: UInt64
        var waitUntil: Int64
    }

    private let principal: Principal
    private let limits: GatewayLimits
    private let user: UserMeter
    private let address: AddressVisit?
    private var refused: Refused?

    init(_ principal: Principal, _ address: AddressVisit?, _ limits: GatewayLimits) {
        self.principal = principal
        self.limits = limits
        self.address = address
        user = limits.users.borrow(principal.user, at: limits.clock.nanoseconds())
    }

    deinit { limits.users.giveBack(principal.user, at: limits.clock.nanoseconds()) }

    /// Asks for one move of a read mark, which costs the store what a message does. There is no order to keep: marks only rise.
    func refusalOfRead() -> WireFailure? {
        guard let rate = limits.rates.messagesOfDevice else { return nil }
        return user.takeRead(principal.device, rate, at: limits.clock.nanoseconds()).map {
            limits.metrics.rateLimited.add(.reads)
            return .rateLimited(GatewayLimits.tooManyReads, wait: $0)
        }
    }

    /// Asks for one message. Nil when it may be handed on.
    func refusal(of clientMessageID: UInt64) -> WireFailure? {
        let now = limits.clock.nanoseconds()
        limits.count(principal.user, user, at: now)
        if let refused {
            if now < refused.waitUntil {
                limits.countRefusedMessage()
                self.refused?.clientMessageID = min(refused.clientMessageID, clientMessageID)
                return .rateLimited("an earlier message was refused", wait: refused.waitUntil - now, atLeast: .zero)
            }
            if clientMessageID > refused.clientMessageID, now < refused.waitUntil + Limits.rateOrderHeld.nanoseconds {
                limits.countRefusedMessage()
                return .rateLimited("an earlier message was refused and has not come again", wait: 0)
            }
        }
        refused = nil
        guard let wait = limits.take(principal.device, user, address?.meter, at: now) else { return nil }
        limits.countRefusedMessage()
        let failure = WireFailure.rateLimited(GatewayLimits.tooManyMessages, wait: wait)
        refused = Refused(clientMessageID: clientMessageID, waitUntil: now + (failure.retryAfter ?? Limits.rateLimitedRetry).nanoseconds)
        return failure
    }
}
