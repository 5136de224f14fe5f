import Logging
import RelayControlServer
import Synchronization

/// Tells the service manager once everything that must listen listens.
final class Readiness: Sendable {
    private let waiting: Mutex<Int>
    private let isStopping = Mutex(false)
    private let status: String
    private let logger: Logger

    /// - Parameters:
    ///   - awaited: so many calls of ``one()`` make the daemon ready.
    ///   - status: what `systemctl status` shows then.
    init(awaited: Int, status: String, logger: Logger) {
        waiting = Mutex(awaited)
        self.status = status
        self.logger = logger
    }

    /// One of the servers listens now. Any thread.
    func one() {
        let left = waiting.withLock { waiting in
            waiting -= 1
            return waiting
        }
        guard left == 0 else { return }
        logger.notice("ready", metadata: ["status": "\(status)"])
        Systemd.ready(status)
    }

    /// The daemon was told to stop.
    func stopping() { isStopping.withLock { $0 = true } }

    /// Any thread.
    var phase: DaemonPhase { isStopping.withLock { $0 } ? .stopping : waiting.withLock { $0 } > 0 ? .starting : .serving }

    /// A reload is over.
    func again() { Systemd.ready(status) }
}
