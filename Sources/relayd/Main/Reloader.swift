import Logging
import RelayModel
import ServiceLifecycle
import UnixSignals

/// Reads the configuration again on SIGHUP. A bad one changes nothing; connections never notice.
struct Reloader: Service {
    var inForce: ConfigurationInForce
    /// Puts what can be reloaded into force.
    var apply: @Sendable (Configuration) async -> Void
    var readiness: Readiness
    var logger: Logger

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            Systemd.reloading()
            await reload()
            readiness.again()
        }
        // This service is the first that is told to stop.
        readiness.stopping()
        logger.notice("stopping")
        Systemd.stopping("closing connections", within: Limits.stopPatience)
    }

    private func reload() async {
        do throws(ConfigurationProblems) {
            let (configuration, applied, deferred) = try inForce.reload()
            for option in applied {
                logger.notice("reloaded", metadata: ["key": "\(option.name)", "value": "\(option.shown(option.read(configuration)))"])
            }
            for option in deferred { logger.warning("the change needs a restart: systemctl restart relayd", metadata: ["key": "\(option.name)"]) }
            if applied.isEmpty, deferred.isEmpty { logger.notice("the configuration was read again, nothing changed") }
            await apply(configuration)
        } catch {
            for problem in error.problems { logger.error("\(problem)") }
            logger.error("the configuration was not reloaded, the one before stays in force")
        }
    }
}
