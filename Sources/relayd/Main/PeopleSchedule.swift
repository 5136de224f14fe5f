import Logging
import RelayModel
import RelayTelemetry
import ServiceLifecycle

/// Counts and publishes figures about people in time.
struct PeopleSchedule: Service {
    var ledger: PrivacyLedger
    var logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await note { () async throws(PrivacyLedgerError) in try await ledger.start() }
            while (try? await Task.sleep(for: Limits.peopleFlush)) != nil {
                await note { () async throws(PrivacyLedgerError) in try await ledger.tick() }
            }
        }
    }

    /// Stores what was counted since the last minute. When nothing is sent any more.
    func finish() async { await note { () async throws(PrivacyLedgerError) in try await ledger.flush() } }

    private func note(_ body: () async throws(PrivacyLedgerError) -> Void) async {
        do throws(PrivacyLedgerError) { try await body() } catch {
            switch error {
            // The next minute does it, or the next start.
            case .overloaded, .stopping: break
            case .storeFailed: logger.error("figures about people cannot be stored")
            }
        }
    }
}
