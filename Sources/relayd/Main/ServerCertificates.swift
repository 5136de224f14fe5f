import Logging
import RelayHTTP
import RelayMetrics
import RelayModel
import RelayTLS

extension Configuration {
    /// The certificate and its key; nil without TLS. Reads files.
    func identity() throws(TLSIdentityError) -> TLSIdentity? {
        guard speaksTLS else { return nil }
        return try tls.load(credentials: Systemd.credentialsDirectory)
    }
}

/// The certificate in force: replaces it, and knows how long it is good. Any thread.
final class Certificates: Sendable {
    let server: TLSServer
    private let clock: any WallClock
    private let metrics: Metrics
    private let alerts: any AlertSink
    private let logger: Logger

    init(_ server: TLSServer, clock: any WallClock, metrics: Metrics, alerts: any AlertSink, logger: Logger) {
        self.server = server
        self.clock = clock
        self.metrics = metrics
        self.alerts = alerts
        self.logger = logger
        measure()
        // What was refused before the relay was started again is not what it was started with.
        alerts.settle(.certificateRefused)
    }

    /// Says what an operator should know of it at the start.
    func greet(_ publicURL: String) {
        let identity = server.identity
        let days = identity.daysLeft(at: clock.now())
        if days < 0 {
            logger.error("the certificate has expired: no client accepts it", metadata: ["days": "\(days)"])
        } else if identity.notBefore > clock.now() {
            logger.error("the certificate is not valid yet: no client accepts it; is the clock right?")
        } else {
            logger.notice("the certificate was read", metadata: ["days": "\(days)"])
        }
        warn(identity, publicURL)
    }

    /// Reads the files again. What cannot be used changes nothing, and is an alert.
    /// - Parameter configuration: as it is now.
    func reload(_ configuration: Configuration) {
        do throws(TLSIdentityError) {
            guard let new = try configuration.identity() else { return }
            if new.fingerprint != server.identity.fingerprint { try replace(new, configuration) }
            alerts.settle(.certificateRefused)
        } catch {
            logger.error("\(error)")
            logger.error("the certificate was not replaced, the one before stays in force")
            alerts.raise(AlertEvent(.certificateRefused))
        }
    }

    private func replace(_ new: TLSIdentity, _ configuration: Configuration) throws(TLSIdentityError) {
        let days = new.daysLeft(at: clock.now())
        guard days >= 0 else { throw .expired(path: configuration.tls.certificate) }
        try server.replace(new)
        measure()
        logger.notice("new connections get the new certificate", metadata: ["days": "\(days)"])
        warn(new, configuration.effectivePublicURL)
    }

    /// The days that are left, for the metric and its alert.
    func measure() { metrics.certificateDays.set(Double(server.identity.daysLeft(at: clock.now()))) }

    private func warn(_ identity: TLSIdentity, _ publicURL: String) {
        guard let host = try? Endpoint(url: publicURL).host, !identity.isFor(host) else { return }
        logger.warning(
            "the certificate is not for the host of listen.public_url: clients that use that address refuse it", metadata: ["host": "\(host)"])
    }
}
