/// How much an alert asks of the operator.
package enum AlertSeverity: String, Codable, Sendable, CaseIterable, Comparable {
    /// Worth knowing; nothing has to be done.
    case info
    /// To be looked at in the next days.
    case warning
    /// To be looked at now: messages are refused, or will be soon.
    case critical

    package static func < (left: AlertSeverity, right: AlertSeverity) -> Bool { left.rank < right.rank }
    private var rank: Int { AlertSeverity.allCases.firstIndex(of: self) ?? 0 }
}

/// What an alert can be about: one table, from which the relay's behaviour and the operator's manual come.
package enum AlertKind: String, Codable, Sendable, CaseIterable {
    case highSendRate = "high_send_rate"
    case blockedSender = "blocked_sender"
    case outOfOrder = "out_of_order"
    case keyChangeFlood = "key_change_flood"
    case lowPrekeys = "low_prekeys"
    case errorBurst = "error_burst"
    case undeliveredStore = "undelivered_store"
    case diskLow = "disk_low"
    case diskNearlyFull = "disk_nearly_full"
    case descriptorsLow = "descriptors_low"
    case slowFlush = "slow_flush"
    case storeFailed = "store_failed"
    case purgeFailed = "purge_failed"
    case diskGrowth = "disk_growth"
    case hostTooSmall = "host_too_small"
    case hostTooLarge = "host_too_large"
    // MARK: TLS
    case certificateExpiring = "certificate_expiring"
    case certificateRefused = "certificate_refused"

    /// When an alert of a kind begins and ends.
    package enum Trigger: Sendable, Equatable {
        /// So many events about the same subject, none of them longer than `within` after the one before. It is over when none came for as long.
        case events(Int, within: Duration)
        /// A figure that is watched. It begins when the figure has been at `raise` or beyond for `holds`, and is over when it is at `clear` or
        /// better: what wavers in between changes nothing. High figures are bad when `raise` is above `clear`, else low ones.
        case reading(raise: Int, clear: Int, holds: Duration, unit: AlertUnit)
    }

    /// Everything about one kind.
    package struct Rule: Sendable {
        package var severity: AlertSeverity
        package var trigger: Trigger
        /// What happened, as a sentence without a name in it.
        package var about: String
        /// What to do next.
        package var advice: String
    }

    /// The rule as shipped; the configuration may put other figures in.
    package var rule: Rule {
        switch self {
        case .highSendRate:
            Rule(
                severity: .warning, trigger: .events(1, within: .seconds(600)),
                about: "a user asks to send more messages than a person does",
                advice: "chatctl alert show says who; chatctl user suspend stops them")
        case .blockedSender:
            Rule(
                severity: .warning, trigger: .events(1, within: .seconds(3600)),
                about: "a device sends to somebody who blocks its user, though it was told",
                advice: "a client with a bug, or somebody who tries: chatctl alert show says who")
        case .outOfOrder:
            Rule(
                severity: .warning, trigger: .events(10, within: .seconds(3600)),
                about: "a device numbers its messages out of order, and is refused",
                advice: "a client with a bug, or a device that was restored from a backup: chatctl alert show says which")
        case .keyChangeFlood:
            Rule(
                severity: .warning, trigger: .events(1, within: .seconds(86_400)),
                about: "a device changes its keys more often than a client does by itself",
                advice: "chatctl key audit shows when; chatctl device revoke ends it")
        case .lowPrekeys:
            Rule(
                severity: .info, trigger: .events(1, within: .seconds(86_400)),
                about: "a device has few one-time prekeys left: somebody drains them, or it is away for long",
                advice: "chatctl key list --low shows which")
        case .errorBurst:
            Rule(
                severity: .warning, trigger: .reading(raise: 60, clear: 5, holds: .seconds(60), unit: .perMinute),
                about: "requests fail for reasons of the relay's own: it is overloaded, or has an internal error",
                advice: "chatctl metrics show tells by which class; the log says why")
        case .undeliveredStore:
            Rule(
                severity: .warning, trigger: .reading(raise: 1_000_000, clear: 750_000, holds: .zero, unit: .messages),
                about: "much waits for devices that do not fetch it",
                advice: "chatctl retention plan shows what goes by itself; chatctl retention set --undelivered shortens how long it waits")
        case .diskLow:
            Rule(
                severity: .warning, trigger: .reading(raise: 10, clear: 15, holds: .seconds(30), unit: .percent),
                about: "the file system of the store has little room left",
                advice: "make room, or chatctl retention set and chatctl retention purge")
        case .diskNearlyFull:
            Rule(
                severity: .critical, trigger: .reading(raise: 2, clear: 4, holds: .zero, unit: .percent),
                about: "the file system of the store is nearly full: the relay ends when a message cannot be stored",
                advice: "make room now")
        case .descriptorsLow:
            Rule(
                severity: .warning, trigger: .reading(raise: 90, clear: 80, holds: .seconds(30), unit: .percent),
                about: "most file descriptors are used: new connections will be refused",
                advice: "raise LimitNOFILE of relayd.service")
        case .slowFlush:
            Rule(
                severity: .warning, trigger: .reading(raise: 1000, clear: 250, holds: .seconds(30), unit: .milliseconds),
                about: "the disk takes long to store messages for good",
                advice: "look for what else uses the disk, and at its health (smartctl)")
        case .storeFailed:
            Rule(
                severity: .critical, trigger: .events(1, within: .seconds(86_400)),
                about: "the disk failed while messages were stored; the relay has ended, what it had answered is safe",
                advice: "the log says what the disk answered; look at its room and its health")
        case .purgeFailed:
            Rule(
                severity: .warning, trigger: .events(1, within: .seconds(86_400)),
                about: "a purge ended with an error", advice: "the log says which; chatctl retention purge tries again")
        case .diskGrowth:
            Rule(
                severity: .info, trigger: .reading(raise: 30, clear: 45, holds: .zero, unit: .days),
                about: "as the store grew in the last week, its file system is full soon",
                advice: "plan for more room, or keep less: chatctl retention plan")
        case .hostTooSmall:
            Rule(
                severity: .info, trigger: .reading(raise: 3, clear: 1, holds: .zero, unit: .days),
                about: "on some days of the last week the relay was short of processor time, or refused for overload",
                advice: "a larger host, or a further one, would do")
        case .hostTooLarge:
            Rule(
                severity: .info, trigger: .reading(raise: 14, clear: 13, holds: .zero, unit: .days),
                about: "for many days there were no errors, little to do, and little that waits",
                advice: "a smaller host, or fewer, would do")
        case .certificateExpiring:
            Rule(
                severity: .warning, trigger: .reading(raise: 14, clear: 21, holds: .zero, unit: .days),
                about: "the certificate ends soon, or has ended: clients do not connect then",
                advice: "renew it, then systemctl reload relayd")
        case .certificateRefused:
            Rule(
                severity: .warning, trigger: .events(1, within: .seconds(3600)),
                about: "a new certificate cannot be used; the one before stays in force",
                advice: "the log says why; repair it, then systemctl reload relayd")
        }
    }
}

/// What a figure of an alert counts.
package enum AlertUnit: String, Codable, Sendable {
    case percent
    case perMinute = "per_minute"
    case messages
    case milliseconds
    case days
    case events
}
