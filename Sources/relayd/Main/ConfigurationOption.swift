import Logging
import RelayControl
import RelayGateway
import RelayModel
import RelayTLS
import RelayTelemetry

/// One key of the configuration file. Reading, checking, listing and the sample file all come from ``all``.
struct ConfigurationOption: Sendable {
    var section: String
    var key: String
    /// What it takes, to follow the word "must be".
    var allowed: String
    /// What a number counts. Every number has one.
    var unit: String?
    /// SIGHUP applies a change; the others wait for a restart.
    var reloadable = false
    /// Its value is shown to nobody: neither by the listing nor by the log nor on the control socket.
    var secret = false
    /// One line of the sample each. In the manual the lines are one text.
    var documentation: [String]
    var read: @Sendable (Configuration) -> ConfigurationValue
    /// False when the value is not allowed (or not of the right type).
    var write: @Sendable (inout Configuration, ConfigurationValue) -> Bool

    /// `section.key`
    var name: String { "\(section).\(key)" }

    /// The value of a configuration that sets nothing.
    var standard: ConfigurationValue { read(Configuration()) }

    /// A value as it may be shown.
    func shown(_ value: ConfigurationValue) -> String { secret && value != standard ? "(set, not shown)" : value.description }

    static let all: [ConfigurationOption] = beforePeople + people + afterPeople

    private static let beforePeople: [ConfigurationOption] = [
        ConfigurationOption(
            section: "listen", key: "address",
            allowed: "an IP address or localhost with a port, such as \"127.0.0.1:8480\" or \"[::1]:8480\", or \"unix:/path\"",
            documentation: [
                "Where clients connect: an address of this host, or a Unix socket for a proxy. Other hosts can reach it only with TLS: see [tls]."
            ],
            read: { .text($0.listenAddress.description) },
            write: { configuration, value in
                guard case .text(let text) = value, let address = ListenAddress(text) else { return false }
                configuration.listenAddress = address
                return true
            }),
        ConfigurationOption(
            section: "listen", key: "public_url", allowed: "an http:// or https:// address without a path, or \"\"",
            documentation: [
                "What invite links begin with: where clients reach the relay, such as \"https://chat.example.org\".",
                "Empty: the address above, with https:// or http:// in front.",
            ],
            read: { .text($0.publicURL) },
            write: { configuration, value in
                guard case .text(let text) = value, text.isEmpty || isBase(text) else { return false }
                configuration.publicURL = text
                return true
            }),
        ConfigurationOption(
            section: "listen", key: "allow_plaintext", allowed: "true or false",
            documentation: [
                "Listen without TLS where other hosts can connect: tokens then cross the network in the clear. Only behind a proxy in a network that is",
                "trusted.",
            ],
            read: { .flag($0.allowPlaintext) },
            write: { configuration, value in
                guard case .flag(let flag) = value else { return false }
                configuration.allowPlaintext = flag
                return true
            }),
        ConfigurationOption(
            section: "listen", key: "trusted_proxies",
            allowed: "addresses, networks such as \"10.0.0.0/8\" and \"unix\", at most \(Limits.proxyNetworks), separated by commas, or \"\"",
            documentation: [
                "Proxies that say with the PROXY protocol, version 2, whose connections they forward: limits per address then count the clients.",
                "Every connection from there must begin with that header; nobody else's is believed. unix: whoever comes over the Unix socket.",
            ],
            read: { .text($0.trustedProxies) },
            write: { configuration, value in
                guard case .text(let text) = value, TrustedProxies(text) != nil else { return false }
                configuration.trustedProxies = text
                return true
            }),
        .identity(
            "certificate", \.tls.certificate,
            [
                "The certificate in PEM, with those that signed it behind it: a path, or the name of a credential (systemd.exec(5),",
                "LoadCredential=). A reload (SIGHUP) reads it and its key again; connections that are open keep the former one.",
                "Empty, together with key: no TLS.",
            ]),
        .identity("key", \.tls.key, ["Its private key in PEM, without a passphrase; a file must not be open to other users."]),
        .path("control", "socket", \.controlSocket, ["Where chatctl connects."], atMost: 107),
        .group("admin_group", \.adminGroup, ["Its members may do everything, like root and relayd's own user."]),
        .group("view_group", \.viewGroup, ["Its members may look, not change."]),
        .path(
            "store", "path", \.storePath,
            ["The database, which has companions with -wal, -shm and .lock at the end of their names. Its directory must be relayd's own."],
            atMost: 4000),
        .number("store", "readers", \.storeReaders, 1...16, "threads", ["Threads that read the database; one more writes."]),
        ConfigurationOption(
            section: "backup", key: "directory", allowed: "an absolute path of at most 4000 bytes, or \"\"",
            documentation: [
                "Where chatctl backup create and upgrades put their copies. It must be relayd's own; best on another disk.",
                "Empty: the folder backups beside the database.",
            ],
            read: { .text($0.backups) },
            write: { configuration, value in
                guard case .text(let text) = value, text.isEmpty || text.hasPrefix("/"), text.utf8.count <= 4000, !text.utf8.contains(0) else {
                    return false
                }
                configuration.backups = text
                return true
            }),
        .flag(
            "contacts", "everyone", \.contacts.everyone,
            [
                "Everybody may write to everybody without asking, until somebody blocks somebody: for a family or a company.",
                "Otherwise a user asks another one first, and messages pass when that one has accepted.",
            ]),
        .flag(
            "contacts", "tell_blocked", \.contacts.tellsBlocked,
            [
                "A user is told that another one blocks them. Otherwise they see what somebody sees who gets no answer. After a change devices get",
                "their whole list of contacts when they connect the next time.",
            ]),
        ConfigurationOption(
            section: "contacts", key: "on_block", allowed: "\"leave\" or \"stay-hidden\"", reloadable: true,
            documentation: [
                "What a block means for groups that both are in. leave: who blocks leaves them. stay-hidden: both stay, and clients hide",
                "from one what the other writes.",
            ],
            read: { .text($0.contacts.leavesGroups ? "leave" : "stay-hidden") },
            write: { configuration, value in
                guard case .text(let text) = value, ["leave", "stay-hidden"].contains(text) else { return false }
                configuration.contacts.leavesGroups = text == "leave"
                return true
            }),
        ConfigurationOption(
            section: "erase", key: "grace", allowed: "a number followed by s, m, h or d, at most 365d, such as \"7d\"",
            documentation: [
                "How long a user who is to be erased is out and can still be brought back, unless chatctl's --grace or --now says otherwise."
            ],
            read: { .text($0.erasureGrace.description) },
            write: { configuration, value in
                guard case .text(let text) = value, let grace = Grace(text) else { return false }
                configuration.erasureGrace = grace
                return true
            }),
        .number(
            "retention", "purge_hours", \.purgeHours, 0...168, "hours",
            [
                "Every so many hours, and some minutes after the start, relayd deletes what its policies do not keep; chatctl retention shows and",
                "changes those.",
                "0: only when chatctl retention purge is called.",
            ]),
        ConfigurationOption(
            section: "alerts", key: "command", allowed: "an absolute path of at most 4000 bytes, or \"\"", reloadable: true,
            documentation: [
                "A program that is run, as relayd's user and without arguments, when an alert begins or ends; relayd(8) says what it gets.",
                "Alerts are in the log and in chatctl alert in any case. chatctl alert test tries it.",
            ],
            read: { .text($0.alertCommand) },
            write: { configuration, value in
                guard case .text(let text) = value, text.isEmpty || text.hasPrefix("/"), text.utf8.count <= 4000, !text.utf8.contains(0) else {
                    return false
                }
                configuration.alertCommand = text
                return true
            }),
        ConfigurationOption(
            section: "alerts", key: "webhook", allowed: "https://host:port/path or http://host:port/path of at most 2000 bytes, or \"\"",
            reloadable: true,
            secret: true,
            documentation: [
                "A server that gets the same as JSON in a POST, instead of the command where both are named."
            ],
            read: { .text($0.alertWebhook) },
            write: { configuration, value in
                guard case .text(let text) = value, text.utf8.count <= 2000 else { return false }
                guard text.isEmpty || NoticeTarget(webhook: text) != nil else { return false }
                configuration.alertWebhook = text
                return true
            }),
        ConfigurationOption(
            section: "alerts", key: "severity",
            allowed: "one of " + AlertSeverity.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "), reloadable: true,
            documentation: ["What the command or the server gets: info, warning or critical, and what is worse."],
            read: { .text($0.alerts.severity.rawValue) },
            write: { configuration, value in
                guard case .text(let text) = value, let severity = AlertSeverity(rawValue: text) else { return false }
                configuration.alerts.severity = severity
                return true
            }),
        .number(
            "alerts", "disk_free_percent", \.alerts.diskFreePercent, 3...90, "percent",
            [
                "Less room than this on the store's file system, in percent of it, is an alert (disk_low). It is over when there is half as much again."
            ], reloadable: true),
        .number(
            "alerts", "undelivered_messages", \.alerts.undeliveredMessages, 4...1_000_000_000, "messages",
            ["So many messages that wait for devices are an alert (undelivered_store)."], reloadable: true),
        .number(
            "alerts", "errors_per_minute", \.alerts.errorsPerMinute, 1...1_000_000, "answers",
            ["So many answers overloaded or internal in a minute are an alert (error_burst)."], reloadable: true),
        ConfigurationOption(
            section: "metrics", key: "listen", allowed: "a loopback address with a port, such as \"127.0.0.1:9464\", or \"\"",
            documentation: [
                "Where GET /metrics answers a Prometheus on this host, besides chatctl and the control socket. Every user of the host can read it.",
                "Empty: nowhere.",
            ],
            read: { .text($0.metricsAddress?.description ?? "") },
            write: { configuration, value in
                guard case .text(let text) = value else { return false }
                if text.isEmpty {
                    configuration.metricsAddress = nil
                    return true
                }
                guard let address = ListenAddress(text), address.isLoopback, address.unixPath == nil else { return false }
                configuration.metricsAddress = address
                return true
            }),
    ]

    private static let afterPeople: [ConfigurationOption] = [
        .number(
            "presence", "heartbeat", \.heartbeatSeconds, 1...300, "seconds",
            ["Devices that take part in presence say every so many seconds that they are there."]),
        .number(
            "presence", "offline_after", \.offlineAfterSeconds, 2...3600, "seconds",
            [
                "A user is offline when nothing came from any of their devices for so many seconds: at least twice heartbeat, so that one that",
                "is late does not show.",
            ]),
        .number(
            "limits", "message_bytes", \.messageBytes, 1024...Limits.bodyBytesCeiling, "bytes",
            ["The largest message, in bytes of ciphertext. Larger ones are refused."]),
        .number(
            "limits", "devices_per_user", \.devicesPerUser, 1...Limits.devicesPerUserCeiling, "devices", ["Devices a user may have at the same time."]
        ),
        .number(
            "limits", "push_members", \.pushMembers, 2...Limits.chatMembers, "members",
            ["Messages of groups with more members are announced to the members' devices, which fetch them; those of others are pushed."]),
        .number(
            "limits", "invite_hours", \.inviteHours, 1...Int(Limits.inviteLifetimeCeiling.components.seconds / 3600), "hours",
            ["How long an invite is good for unless chatctl's --expires says otherwise, in hours."]),
        .number("limits", "token_minutes", \.tokenMinutes, 1...1440, "minutes", ["How long a device's bearer token is good for, in minutes."]),
        .rate(
            "messages_per_device", \.rates.messagesPerDevice,
            [
                "Messages that a device may go on sending; as many reads besides."
            ]),
        .rate("messages_per_user", \.rates.messagesPerUser, ["Messages of all devices of a user together."]),
        .rate(
            "messages_per_address", \.rates.messagesPerAddress,
            [
                "Messages of all devices behind one address. An IPv6 address counts by its /64, and loopback addresses do not count:",
                "behind a proxy on this host the limits per address hold nobody.",
            ]),
        .rate("requests_per_address", \.rates.requestsPerAddress, ["REST requests from one address."]),
        .rate("connections_per_address", \.rates.connectionsPerAddress, ["New connections from one address; those beyond are closed at once."]),
        .rate("signins_per_address", \.rates.signInsPerAddress, ["Challenges, tokens and enrolments for one address; signing in takes two."]),
        .number(
            "limits", "pending_per_address", \.rates.pendingPerAddress, 0...1_000_000, "connections",
            ["Connections from one address that are not WebSockets (yet), at the same time; those beyond are closed at once."], reloadable: true),
        .number(
            "limits", "handshakes_per_second", \.rates.handshakesPerSecond, 0...1_000_000, "connections",
            ["WebSocket connections that begin in one second, from everybody."], reloadable: true),
        ConfigurationOption(
            section: "limits", key: "limit_loopback", allowed: "true or false", reloadable: true,
            documentation: ["Hold loopback addresses to the limits per address as well: where no proxy is in front of relayd."],
            read: { .flag($0.rates.limitLoopback) },
            write: { configuration, value in
                guard case .flag(let flag) = value else { return false }
                configuration.rates.limitLoopback = flag
                return true
            }),
        .number(
            "limits", "anomaly_messages", \.rates.anomalyMessages, 0...1_000_000_000, "messages",
            ["A user who asks to send more messages than this in anomaly_seconds is an alert, once in that time. 0: nobody is."], reloadable: true),
        .number(
            "limits", "anomaly_seconds", \.anomalySeconds, 1...86_400, "seconds", ["The time in which anomaly_messages are counted."],
            reloadable: true),
        ConfigurationOption(
            section: "limits", key: "over_threshold",
            allowed: "one of " + RateLimits.OverThreshold.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "), reloadable: true,
            documentation: [
                "What happens to a user beyond anomaly_messages. suspend: the user is also suspended, which the audit log has as relayd/suspend;",
                "chatctl user resume ends it.",
            ],
            read: { .text($0.rates.overThreshold.rawValue) },
            write: { configuration, value in
                guard case .text(let text) = value, let policy = RateLimits.OverThreshold(rawValue: text) else { return false }
                configuration.rates.overThreshold = policy
                return true
            }),
        ConfigurationOption(
            section: "log", key: "level", allowed: "one of " + Logger.Level.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "),
            reloadable: true, documentation: ["How much is logged."],
            read: { .text($0.logLevel.rawValue) },
            write: { configuration, value in
                guard case .text(let text) = value, let level = Logger.Level(rawValue: text) else { return false }
                configuration.logLevel = level
                return true
            }),
        ConfigurationOption(
            section: "log", key: "destination", allowed: "one of " + LogDestination.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "),
            documentation: ["Where the log goes. auto: to the journal when the standard error is connected to it, else to the standard error."],
            read: { .text($0.logDestination.rawValue) },
            write: { configuration, value in
                guard case .text(let text) = value, let destination = LogDestination(rawValue: text) else { return false }
                configuration.logDestination = destination
                return true
            }),
    ]

    // MARK: Kinds of options

    /// True or false, applied by a reload.
    static func flag(
        _ section: String, _ key: String, _ path: any WritableKeyPath<Configuration, Bool> & Sendable, _ documentation: [String]
    ) -> ConfigurationOption {
        ConfigurationOption(
            section: section, key: key, allowed: "true or false", reloadable: true, documentation: documentation,
            read: { .flag($0[keyPath: path]) },
            write: { configuration, value in
                guard case .flag(let flag) = value else { return false }
                configuration[keyPath: path] = flag
                return true
            })
    }

    static func number(
        _ section: String, _ key: String, _ path: any WritableKeyPath<Configuration, Int> & Sendable, _ range: ClosedRange<Int>,
        _ unit: String, _ documentation: [String], reloadable: Bool = false
    ) -> ConfigurationOption {
        ConfigurationOption(
            section: section, key: key, allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)", unit: unit,
            reloadable: reloadable, documentation: documentation,
            read: { .number($0[keyPath: path]) },
            write: { configuration, value in
                guard case .number(let number) = value, range.contains(number) else { return false }
                configuration[keyPath: path] = number
                return true
            })
    }

    /// Something per second.
    private static func rate(
        _ key: String, _ path: any WritableKeyPath<Configuration, Int> & Sendable, _ documentation: [String]
    ) -> ConfigurationOption {
        number("limits", key, path, 0...1_000_000, "a second", documentation, reloadable: true)
    }

    private static func path(
        _ section: String, _ key: String, _ path: any WritableKeyPath<Configuration, String> & Sendable, _ documentation: [String], atMost bytes: Int
    ) -> ConfigurationOption {
        ConfigurationOption(
            section: section, key: key, allowed: "an absolute path of at most \(bytes) bytes", documentation: documentation,
            read: { .text($0[keyPath: path]) },
            write: { configuration, value in
                guard case .text(let text) = value, text.hasPrefix("/"), text.utf8.count <= bytes, !text.utf8.contains(0) else { return false }
                configuration[keyPath: path] = text
                return true
            })
    }

    /// A file of a certificate or its key, or a credential's name.
    private static func identity(
        _ key: String, _ path: any WritableKeyPath<Configuration, String> & Sendable, _ documentation: [String]
    ) -> ConfigurationOption {
        ConfigurationOption(
            section: "tls", key: key, allowed: "an absolute path, the name of a credential, or \"\"", reloadable: true, documentation: documentation,
            read: { .text($0[keyPath: path]) },
            write: { configuration, value in
                guard case .text(let text) = value, text.isEmpty || TLSIdentitySource.isUsable(text) else { return false }
                configuration[keyPath: path] = text
                return true
            })
    }

    private static func group(
        _ key: String, _ path: any WritableKeyPath<Configuration, String> & Sendable, _ documentation: [String]
    ) -> ConfigurationOption {
        ConfigurationOption(
            section: "control", key: key, allowed: "the name of a group, of 1 to 32 characters", documentation: documentation,
            read: { .text($0[keyPath: path]) },
            write: { configuration, value in
                guard case .text(let text) = value, (1...32).contains(text.utf8.count), !text.contains(":"), !text.utf8.contains(where: { $0 <= 32 })
                else { return false }
                configuration[keyPath: path] = text
                return true
            })
    }

    private static func isBase(_ text: String) -> Bool {
        guard text.utf8.count <= 255, let scheme = ["https://", "http://"].first(where: text.hasPrefix) else { return false }
        let host = text.dropFirst(scheme.count)
        return !host.isEmpty && host.utf8.allSatisfy { $0 > 32 && $0 < 127 } && !host.contains { "/?#@\"\\".contains($0) }
    }
}
