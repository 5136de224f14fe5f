import Logging
import RelayModel
import ServiceLifecycle
import UnixSignals

/// Reads the configuration again on SIGHUP. A bad one changes nothing; connections never notice.
struct Reloader: Service {
    var path: String
    var named: Bool
    /// What the daemon was started with, and what reloads changed since.
    var configuration: Configuration
    /// Puts what can be reloaded into force.
    var apply: @Sendable (Configuration) -> Void
    var readiness: Readiness
    var logger: Logger

    func run() async throws {
        var current = configuration
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            Systemd.reloading()
            reload(&current)
            readiness.again()
        }
        // This service is the first that is told to stop.
        logger.notice("stopping")
        Systemd.stopping("closing connections", within: Limits.stopPatience)
    }

    private func reload(_ current: inout Configuration) {
        let new: Configuration
        do throws(ConfigurationProblems) {
            new = try ConfigurationFile.load(path: path, named: named).configuration
        } catch {
            for problem in error.problems { logger.error("\(problem)") }
            logger.error("the configuration was not reloaded, the one before stays in force")
            return
        }
        let changes = Self.changes(from: current, to: new)
        for option in changes.applied {
            _ = option.write(&current, option.read(new))
            logger.notice("reloaded", metadata: ["key": "\(option.name)", "value": "\(option.read(new))"])
        }
        for option in changes.deferred { logger.warning("the change needs a restart: systemctl restart relayd", metadata: ["key": "\(option.name)"]) }
        if changes.applied.isEmpty, changes.deferred.isEmpty { logger.notice("the configuration was read again, nothing changed") }
        apply(current)
    }

    /// Which options differ: those that a reload applies, and those that wait for a restart.
    static func changes(
        from old: Configuration, to new: Configuration
    ) -> (applied: [ConfigurationOption], deferred: [ConfigurationOption]) {
        let changed = ConfigurationOption.all.filter { $0.read(old) != $0.read(new) }
        return (changed.filter(\.reloadable), changed.filter { !$0.reloadable })
    }
}
