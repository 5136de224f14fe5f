import Glibc
import Logging
import NIOCore
import NIOPosix
import RelayBackup
import RelayControl
import RelayControlServer
import RelayCrypto
import RelayDirectory
import RelayGateway
import RelayHostAssigner
import RelayMessageSending
import RelayMetrics
import RelayModel
import RelayPresence
import RelayRetention
import RelayStorage
import RelayTLS
import RelayTelemetry
import ServiceLifecycle
import UnixSignals

/// The whole daemon: puts the modules together from the bottom up, runs them, and takes them down again.
struct Daemon {
    /// As the file has it, for reloads.
    var inForce: ConfigurationInForce
    /// What it was started with: as the file has it, but for what systemd decided.
    var configuration: Configuration
    /// As the file has it; reloads compare with that.
    var configured: Configuration
    var sockets = InheritedSockets()
    var level: LogLevel
    /// Where every command of the store is recorded as well, for replays.
    var record: String?
    /// The certificate that the configuration names; nil without TLS.
    var identity: TLSIdentity?

    /// Runs until told to stop, or until the store fails. Gives the exit status.
    func run() async -> Int32 {
        let logger = Logger(label: "relayd")
        let descriptors = ProcessSetup.raiseDescriptorLimit(logger)
        if let clients = sockets.clients, configured.listenAddress != clients.address, configured.listenAddress != Configuration().listenAddress {
            logger.warning(
                "listen.address does not count, systemd holds the port: `systemctl edit relayd.socket` changes it",
                metadata: ["listening": "\(clients.address)"])
        }
        let clock = SystemWallClock()
        let startedAt = clock.now()
        let failure = StoreFailure()
        let metrics = Metrics(startedAt: startedAt, version: relayVersion)
        let tally = PeopleTally()
        let store: Store
        do {
            let lock = try FileLock(ofStore: configuration.storePath)
            let upgrade = StoreUpgrade(
                store: configuration.storePath, folder: BackupFolder(path: configuration.effectiveBackups, clock: clock))
            if let (from, to) = try upgrade.pending() {
                logger.notice(
                    "the store is upgraded before the start; a snapshot and a rehearsal come first, which takes minutes when it is large",
                    metadata: ["from": "\(from)", "to": "\(to)"])
            }
            if let done = try upgrade.run(progress: { Systemd.busy($0) }) {
                logger.notice(
                    "the store was upgraded",
                    metadata: [
                        "from": "\(done.from)", "to": "\(done.to)", "snapshot": "\(done.snapshot)", "milliseconds": "\(done.took.milliseconds)",
                        "bytes": "\(done.bytesAfter)",
                    ])
            }
            store = try Store(
                path: configuration.storePath, lock: lock, clock: clock, readers: configuration.storeReaders, record: record, metrics: metrics,
                observer: tally,
                onFailure: { failure.report($0) })
        } catch let refused as StoreUpgrade.Refused {
            // Starting again would not help: the unit file knows this status.
            logger.critical("\(refused.description)")
            logger.critical("\(refused.hint)")
            return ControlErrorCode.configuration.exitStatus
        } catch {
            logger.critical("\(error)", metadata: (error as? StoreError)?.hint.map { ["hint": "\($0)"] as Logger.Metadata })
            return 1
        }
        let status = await run(
            store: store, metrics: metrics, tally: tally, descriptors: descriptors, failure: failure, clock: clock, startedAt: startedAt,
            logger: logger)
        Systemd.stopping("closing the store", within: Limits.stopWriting)
        await store.close()
        logger.notice("stopped", metadata: ["status": "\(status)"])
        return status
    }

    private func run(
        store: Store, metrics: Metrics, tally: PeopleTally, descriptors: Int, failure: StoreFailure, clock: SystemWallClock, startedAt: Timestamp,
        logger: Logger
    ) async -> Int32 {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: min(max(1, System.coreCount), 64))
        let alertInbox = AlertInbox()
        let published = PublishedMetrics(metrics.snapshot(at: startedAt), of: metrics)
        LoopProbe.start(on: Array(group.makeIterator()), metrics)
        let presence = Presence(
            writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock(),
            terms: PresenceTerms(
                heartbeat: .seconds(configuration.heartbeatSeconds), offlineAfter: .seconds(configuration.offlineAfterSeconds)))
        let sending = MessageSending(
            writer: store.writer, readers: store.readers, loops: Array(group.makeIterator()), pushMembers: configuration.pushMembers,
            metrics: metrics, alerts: alertInbox, onConnect: { tally.connected($0.user, $0.device, at: clock.now()) },
            onContacts: { presence.contacts($0) }, onOut: { presence.out($0) })
        let certificates: Certificates?
        do throws(TLSIdentityError) {
            certificates = try identity.map { identity throws(TLSIdentityError) in
                Certificates(
                    try TLSServer(identity, plainAnswer: Gateway.answerToPlainHTTP()), clock: clock, metrics: metrics, alerts: alertInbox,
                    logger: Logger(label: "tls"))
            }
        } catch {
            logger.critical("\(error)")
            return 1
        }
        certificates?.greet(configuration.effectivePublicURL)
        let directory: Directory
        let alerts: Alerts
        do {
            directory = try await Directory(
                writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: directorySettings,
                revocations: sending)
            try await directory.apply(configuration.contacts)
            alerts = try await Alerts(
                writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock(), settings: configuration.alerts,
                inbox: alertInbox, relay: configuration.effectivePublicURL, metrics: metrics, processors: System.coreCount, group: group,
                logger: Logger(label: "alerts"))
        } catch {
            logger.critical(
                "the store cannot be read or written",
                metadata: [
                    "error": "\(error)", "hint": "df -h says whether its disk is full, dmesg whether it fails; systemd starts relayd again by itself",
                ]
            )
            return 1
        }
        let retention = Retention(
            writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock(), pushMembers: configuration.pushMembers,
            alerts: alertInbox)
        let ledger = PrivacyLedger(
            tally: tally, writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: configuration.people,
            online: { await sending.connected().map { ($0.user, $0.device) } })
        let readiness = Readiness(
            awaited: configuration.metricsAddress == nil ? 2 : 3, status: "listening on \(configuration.listenAddress)", logger: logger)
        let control = ControlServer(
            settings: controlSettings(startedAt: startedAt, readiness),
            store: store, directory: directory, sending: sending, presence: presence, retention: retention, alerts: alerts, metrics: published,
            ledger: ledger, clock: clock, group: group, logger: Logger(label: "control"), onListening: { readiness.one() })
        let gateway = Gateway(
            settings: gatewaySettings(descriptors: descriptors, alertInbox, metrics, certificates?.server), directory: directory, sending: sending,
            presence: presence,
            assigner: HostAssigner(host: configuration.publicHost, url: configuration.effectivePublicURL), group: group,
            logger: Logger(label: "gateway"), onBound: { _ in readiness.one() })
        let reloader = Reloader(
            inForce: inForce,
            apply: { [level] configuration in
                level.current = configuration.logLevel
                gateway.apply(configuration.rates)
                if let certificates, configuration.speaksTLS {
                    certificates.reload(configuration)
                } else if (certificates != nil) != configuration.speaksTLS {
                    logger.warning("TLS begins or ends with a restart: systemctl restart relayd")
                }
                await ledger.apply(configuration.people)
                await alerts.apply(configuration.alerts)
                await Self.apply(configuration.contacts, to: directory, logger)
            }, readiness: readiness, logger: logger)
        // They are stopped in the reverse order, each before the next: nobody new, then clients, then operators.
        var services = ServiceGroupConfiguration(
            services: [
                .init(service: failure, failureTerminationBehavior: .gracefullyShutdownGroup),
                .init(service: AlertWatch(alerts: alerts)),
                .init(service: PresenceService(presence: presence)),
                .init(service: control, failureTerminationBehavior: .gracefullyShutdownGroup),
                .init(
                    service: Listener(gateway: gateway, address: configuration.listenAddress), failureTerminationBehavior: .gracefullyShutdownGroup),
                .init(service: Erasures(directory: directory)),
                .init(
                    service: MetricSampler(
                        metrics: metrics, published: published, store: store, gateway: gateway, retention: retention, ledger: ledger,
                        certificates: certificates, clock: clock)),
                .init(service: reloader),
                .init(
                    service: PurgeSchedule(retention: retention, every: .seconds(configuration.purgeHours * 3600), logger: Logger(label: "retention"))
                ),
                .init(service: PeopleSchedule(ledger: ledger, logger: Logger(label: "people"))),
            ], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(Logger(label: "services")))
        if let patience = Systemd.watchdogPatience {
            let parts = Watchdog.parts(loops: Array(group.makeIterator()), store: store)
            // Stopped last of all.
            services.services.insert(.init(service: Watchdog(patience: patience, parts: parts, logger: Logger(label: "watchdog"))), at: 0)
        }
        if let address = configuration.metricsAddress {
            let listener = MetricsListener(
                host: address.host, port: address.port, metrics: published, group: group, logger: Logger(label: "metrics"),
                onListening: { readiness.one() })
            services.services.append(
                .init(service: MetricsEndpoint(listener: listener, address: address), failureTerminationBehavior: .gracefullyShutdownGroup))
        }
        services.maximumGracefulShutdownDuration = Limits.stopPatience
        do {
            try await ServiceGroup(configuration: services).run()
            Systemd.stopping("writing what was accepted", within: Limits.stopWriting)
            await sending.storeAcknowledgements()
            await PeopleSchedule(ledger: ledger, logger: Logger(label: "people")).finish()
            await presence.save()
        } catch let error as StoreFailure.Failed {
            logger.critical("the disk failed, nothing more is accepted", metadata: ["reason": "\(error.reason)", "hint": "\(error.advice)"])
            await alerts.storeFailed()
            return 1
        } catch {
            logger.critical("\(error)")
            return 1
        }
        return 0
    }

    /// While the relay has too much to do, the policy waits: a reload that says it is in force must not be wrong.
    private static func apply(_ policy: ContactPolicy, to directory: Directory, _ logger: Logger) async {
        for _ in 0..<Limits.overloadAttempts {
            do throws(DirectoryError) { return try await directory.apply(policy) } catch {
                // A store that refuses has ended the process, or is ending it.
                guard case .overloaded = error else { return }
                try? await Task.sleep(for: Limits.overloadPause)
            }
        }
        logger.error("the policy of contacts is not in force, because the relay has too much to do: systemctl reload relayd")
    }

    private func controlSettings(startedAt: Timestamp, _ readiness: Readiness) -> ControlServerSettings {
        var settings = ControlServerSettings(
            socket: configuration.controlSocket,
            access: AccessPolicy(adminGroup: configuration.adminGroup, viewGroup: configuration.viewGroup), startedAt: startedAt,
            listening: [configuration.listenURL], publicURL: configuration.effectivePublicURL,
            backups: configuration.effectiveBackups)
        settings.inherited = sockets.control?.descriptor
        settings.configurationPath = inForce.inForce().path
        settings.configuration = inForce
        settings.phase = { readiness.phase }
        settings.addresses = [configuration.listenAddress, configuration.metricsAddress].compactMap { $0?.description } + [configuration.publicHost]
        return settings
    }

    private var directorySettings: DirectorySettings {
        var settings = DirectorySettings(publicURL: configuration.effectivePublicURL)
        settings.devicesPerUser = configuration.devicesPerUser
        settings.inviteLifetime = .seconds(configuration.inviteHours * 3600)
        settings.erasureGrace = configuration.erasureGrace.duration
        settings.tokenLifetime = .seconds(configuration.tokenMinutes * 60)
        return settings
    }

    /// Clients get the descriptors that the rest of the relay can spare, at least half of them.
    private func gatewaySettings(descriptors: Int, _ alerts: AlertInbox, _ metrics: Metrics, _ tls: TLSServer?) -> GatewaySettings {
        var settings = GatewaySettings(
            host: configuration.listenAddress.host, port: configuration.listenAddress.port, version: relayVersion,
            publicURL: configuration.effectivePublicURL)
        settings.inherited = sockets.clients?.descriptor
        settings.unixPath = configuration.listenAddress.unixPath
        settings.tls = tls
        settings.proxies = TrustedProxies(configuration.trustedProxies) ?? TrustedProxies()
        settings.connections = max(descriptors / 2, descriptors - Limits.reservedDescriptors)
        settings.httpConnections = min(Limits.httpConnections, settings.connections / 2)
        settings.maxBodyBytes = configuration.messageBytes
        settings.devicesPerUser = configuration.devicesPerUser
        settings.rates = configuration.rates
        settings.alerts = alerts
        settings.metrics = metrics
        return settings
    }

    /// The service group tells its own steps at levels that operators read; only its failures matter.
    private func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = .critical
        return logger
    }
}
