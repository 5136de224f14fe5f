import Logging
import RelayModel
import Testing

@testable import relayd

@Suite struct LoggingTests {
    private let line = LogLine(
        level: .warning, label: "gateway", message: "two\nlines", fields: [(key: "reason", value: "a \"b\""), (key: "count", value: "3")])

    @Test func onATerminal() {
        let text = StandardErrorSink.text(line, prefixed: false, now: Timestamp(milliseconds: 1_763_717_400_250))
        #expect(text == #"2025-11-21T09:30:00.250Z warning gateway: two\u{a}lines reason="a \"b\"" count=3"#)
    }

    @Test func underSystemd() {
        let text = StandardErrorSink.text(line, prefixed: true, now: Timestamp(milliseconds: 0))
        #expect(text == #"<4>gateway: two\u{a}lines reason="a \"b\"" count=3"#)
    }

    @Test func inTheJournal() {
        #expect(
            JournalSink.assignments(line) == [
                "MESSAGE=gateway: two\nlines reason=a \"b\" count=3", "PRIORITY=4", "SYSLOG_IDENTIFIER=relayd", "RELAYD_LOGGER=gateway",
                "RELAYD_REASON=a \"b\"", "RELAYD_COUNT=3",
            ])
    }

    private struct Discard: LogSink { func write(_ line: LogLine) {} }

    @Test func allLoggersShareTheLevelExceptThoseWithTheirOwn() {
        let level = LogLevel(.info)
        let shared = RelayLogHandler(label: "a", level: level, sink: Discard())
        var own = RelayLogHandler(label: "b", level: level, sink: Discard())
        own.logLevel = .critical
        level.current = .debug
        #expect(shared.logLevel == .debug)
        #expect(own.logLevel == .critical)
    }
}
