import Logging
import RelayModel
import Synchronization
import Testing

@testable import relayd

@Suite struct RecentAlertsTests {
    private final class Lines: Sendable {
        let texts = Mutex<[String]>([])
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            lines.texts.withLock { $0.append("\(event.message) \(fields.joined(separator: " "))") }
        }
    }

    private func alert(_ number: UInt64) -> Alert {
        Alert(
            at: Timestamp(milliseconds: Int64(number)), kind: .overThreshold(user: UserID(987_654_321), messages: 2001, window: .seconds(60)))
    }

    @Test func theNewestAreKeptAndTheLogIsNotFlooded() {
        let clock = ManualMonotonicClock()
        let lines = Lines()
        let sink = RecentAlerts(clock: clock, logger: Logger(label: "alerts") { _ in Handler(lines: lines) })
        let count = UInt64(Limits.alertsKept) + 10
        for number in 1...count { sink.raise(alert(number)) }
        #expect(sink.alerts.count == Limits.alertsKept)
        #expect(sink.alerts.first == alert(11) && sink.alerts.last == alert(count))
        clock.advance(by: Limits.alertLogInterval)
        sink.raise(alert(count + 1))
        let texts = lines.texts.withLock { $0 }
        #expect(texts == ["alert class=over_threshold since_start=1", "alert class=over_threshold since_start=\(count + 1)"])
        // No log line says about whom.
        #expect(texts.allSatisfy { !$0.contains("987654321") })
    }
}
