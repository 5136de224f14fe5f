import Logging
import RelayRetention
import ServiceLifecycle

/// Purges now and then by itself, from some minutes after the start on.
struct PurgeSchedule: Service {
    var retention: Retention
    /// Zero: only when an operator, or cron, asks.
    var every: Duration
    var logger: Logger

    /// Not while clients come back after a restart.
    private static let first = Duration.seconds(600)

    func run() async throws {
        guard every > .zero else { return try await gracefulShutdown() }
        await cancelWhenGracefulShutdown {
            var wait = Self.first
            while (try? await Task.sleep(for: min(wait, every))) != nil {
                wait = every
                await purge()
            }
        }
    }

    private func purge() async {
        do throws(RetentionError) {
            let report = try await retention.purge()
            // How much is an operator's to ask for: a figure in the log would say when people write.
            logger.notice("purged", metadata: ["seconds": "\(report.took.components.seconds)"])
        } catch {
            switch error {
            case .running, .stopped, .stopping: break
            default: logger.error("the purge failed", metadata: ["error": "\(error)"])
            }
        }
    }
}
