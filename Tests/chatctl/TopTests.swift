import RelayControl
import RelayModel
import Testing

@testable import ChatctlCommands

/// What `chatctl top` makes of the relay's figures.
@Suite struct TopTests {
    /// A look `seconds` after the first.
    static func look(
        _ seconds: Int64, metricsAt: Int64? = nil, sends: Int, deliveries: Int = 0, latencies: [Int] = [0, 0, 0], cpu: Int = 0, live: Bool = false,
        startedAt: Int64 = 0
    ) -> Top.Reply {
        func time(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: 1_795_253_400_000 + seconds * 1000) }
        func metric(_ name: String, _ samples: [MetricSampleRecord]) -> MetricRecord {
            MetricRecord(name: name, type: "gauge", group: "messages", help: "", samples: samples)
        }
        func number(_ value: Int, _ labels: [String: String] = [:]) -> MetricSampleRecord {
            MetricSampleRecord(labels: labels, value: Double(value), histogram: nil)
        }
        let histogram = MetricSampleRecord(
            labels: [:], value: nil,
            histogram: MetricHistogramRecord(count: 0, sum: 0, p50: nil, p99: nil, p999: nil, bounds: [0.001, 0.01], counts: latencies))
        return Top.Reply(
            at: time(seconds), metricsAt: time(metricsAt ?? seconds), isLive: live, startedAt: time(startedAt - 3600), relayVersion: "0.1.0",
            cpuMicroseconds: cpu, residentBytes: 48 << 20, processors: 2, openAlerts: 1,
            metrics: [
                metric("relayd_sends_total", [number(7, ["result": "failed"]), number(sends, ["result": "accepted"])]),
                metric("relayd_deliveries_total", [number(deliveries)]), metric("relayd_send_seconds", [histogram]),
                metric("relayd_commit_seconds", [histogram]), metric("relayd_event_loop_lag_seconds", [histogram]),
                metric("relayd_queue_commands", [number(4)]),
                metric("relayd_connections", [number(1024, ["kind": "websocket"]), number(2, ["kind": "http"])]),
                metric("relayd_undelivered_messages", [number(0)]), metric("relayd_store_bytes", [number(1 << 30)]),
                metric("relayd_wal_bytes", [number(4 << 20)]), metric("relayd_disk_bytes", [number(100 << 30)]),
                metric("relayd_disk_free_bytes", [number(40 << 30)]),
            ])
    }

    @Test func aQuietRelayShowsLessThanARate() throws {
        var looks = TopLooks()
        looks.add(Self.look(0, sends: 2048))
        #expect(looks.figures?.sends == TopRate())
        #expect(looks.figures?.sends.words == "-")
        looks.add(Self.look(16, sends: 2048))
        #expect(looks.figures?.sends == TopRate(below: 64))
        #expect(looks.figures?.sends.words == "< 64/s")
    }

    @Test func ratesAreOverAMinuteAndOfABusyRelayOverAQuarter() throws {
        var looks = TopLooks()
        for index in 0...10 { looks.add(Self.look(Int64(index) * 15, sends: index * 1024, deliveries: index * 2048)) }
        let figures = try #require(looks.figures)
        #expect(figures.sends.perSecond == 1024.0 / 15 && figures.deliveries.perSecond == 2048.0 / 15)
        looks = TopLooks()
        for index in 0...30 { looks.add(Self.look(Int64(index) * 2, sends: index < 20 ? 0 : (index - 20) * 1024, live: true)) }
        // 14 seconds, in which seven steps passed.
        #expect(looks.figures?.sends.perSecond == 512)
    }

    @Test func latenciesAreOfWhatCameSince() throws {
        var looks = TopLooks()
        looks.add(Self.look(0, sends: 0, latencies: [1000, 0, 0], cpu: 0))
        #expect(looks.figures?.sendP99 == nil && looks.figures?.cores == nil)
        looks.add(Self.look(2, sends: 0, latencies: [1000, 100, 0], cpu: 1_000_000))
        let figures = try #require(looks.figures)
        #expect(figures.cores == 0.5)
        let (p50, p99) = (try #require(figures.sendP50), try #require(figures.sendP99))
        #expect(p50 > 0.001 && p50 < 0.01 && p99 > 0.009)
        looks.add(Self.look(4, sends: 0, latencies: [1000, 100, 5]))
        #expect(looks.figures?.sendP99 == 0.01)
    }

    @Test func aRestartBeginsAnewAndLooksAreBounded() {
        var looks = TopLooks()
        for index in 0..<(Limits.topLooks + 5) { looks.add(Self.look(Int64(index), sends: 0)) }
        #expect(looks.all.count == Limits.topLooks)
        looks.add(Self.look(1000, sends: 0, startedAt: 999))
        #expect(looks.all.count == 1)
        looks.add(Self.look(500, sends: 0, startedAt: 999))
        #expect(looks.all.count == 1)
    }

    @Test(arguments: [1, 20, 40, 59, 60, 80, 200], [true, false])
    func everyLineFitsTheTerminal(columns: Int, ascii: Bool) {
        var looks = TopLooks()
        for index in 0...40 {
            looks.add(Self.look(Int64(index) * 15, sends: index * 4096, latencies: [index, index * 2, 1], cpu: index * 1_000_000))
        }
        let trouble = ControlError(.daemonUnreachable, "relayd is not running: there is no socket /run/relayd/control.sock")
        let lines = TopPage(looks: looks, trouble: trouble, color: false, ascii: ascii).lines(columns: columns)
        #expect(lines.count >= 15)
        for line in lines { #expect(DisplayWidth.of(line) <= columns, "\(line)") }
        if ascii { #expect(lines.allSatisfy { $0.utf8.allSatisfy { $0 < 128 } }) }
        let trends = lines.filter { $0.contains(ascii ? "#" : "█") }
        #expect(trends.isEmpty == (columns < 60))
    }
}
