import Foundation
import RelayModel
import RelayTestSupport
import Testing

@testable import RelayMetrics

@Suite(.timeLimit(.minutes(10))) struct MetricsTests {
    private let at = Timestamp(milliseconds: 1_790_000_000_500)

    // MARK: Instruments

    @Test func histogramsCountByTheFirstBoundThatIsNotBelow() {
        let histogram = Histogram(Histogram.Scale(bounds: [10, 20, 50], divisor: 10))
        for value in [0, 10, 11, 20, 21, 50, 51, 1000] { histogram.record(value) }
        #expect(histogram.value.counts == [2, 2, 2, 2])
        #expect(histogram.value.bounds == [1, 2, 5])
        #expect(histogram.value.sum == 116.3)
        histogram.record(nanoseconds: -5)
        #expect(histogram.value.counts == [3, 2, 2, 2])
    }

    @Test func boundsOfTimesAreOneTwoFive() {
        let bounds = Histogram.Scale.durations.bounds
        #expect(bounds.first == 50_000 && bounds.last == 10_000_000_000 && bounds == bounds.sorted())
        #expect(Set(bounds.map { String($0).first }) == ["1", "2", "5"])
    }

    @Test func quantiles() {
        var value = HistogramValue(bounds: [1, 2, 4], counts: [0, 0, 0, 0], sum: 0)
        #expect(value.quantile(0.5) == nil)
        value.counts = [10, 0, 0, 0]
        #expect(value.quantile(0.5) == 0.5)
        #expect(value.quantile(1) == 1)
        value.counts = [50, 0, 50, 0]
        #expect(value.quantile(0.5) == 1)
        #expect(value.quantile(0.75) == 3)
        value.counts = [0, 0, 0, 7]
        #expect(value.quantile(0.01) == 4, "what lies above all bounds is at least the last")
        #expect(value.since(HistogramValue(bounds: [1, 2, 4], counts: [0, 0, 0, 2], sum: 0)).count == 5)
    }

    @Test(arguments: [
        (-1, 0), (0, 0), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024), (1024, 1024), (1025, 2048), (1 << 62, 1 << 62), (Int.max, Int.max),
    ])
    func sizeClasses(count: Int, shown: Int) { #expect(SizeClass.of(count) == shown) }

    @Test func manyThreadsLoseNothing() async {
        let metrics = Metrics()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for value in 0..<10_000 {
                        metrics.sends.add(.accepted)
                        metrics.commitCommands.record(value % 2048)
                    }
                }
            }
        }
        let snapshot = metrics.snapshot(at: at)
        #expect(metrics.sends.value(.accepted) == 80_000)
        #expect(snapshot.histogram(.commitCommands)?.count == 80_000)
    }

    // MARK: Table

    @Test func theTableHasEveryMetricOnce() {
        #expect(MetricTable.all.map(\.name.rawValue).sorted() == MetricName.allCases.map(\.rawValue).sorted())
    }

    @Test func namesAndLabelsFollowTheRules() {
        for definition in MetricTable.all {
            let name = definition.name.rawValue
            #expect(name.wholeMatch(of: /relayd(_[a-z0-9]+)+/) != nil, "\(name)")
            #expect((definition.kind == .counter) == name.hasSuffix("_total"), "\(name)")
            #expect(!["_ms", "_milliseconds", "_kilobytes", "_percent"].contains { name.hasSuffix($0) }, "\(name)")
            #expect(!definition.help.isEmpty && !definition.help.hasSuffix(".") && !definition.help.contains("\n"), "\(name)")
            // Nothing that could hold an identity: every label is of a closed, small set.
            for label in definition.labels { #expect((2...32).contains(values(of: label).count), "\(name)") }
        }
    }

    private func values(of label: any MetricLabel.Type) -> [String] {
        func all<Label: MetricLabel>(_: Label.Type) -> [String] { Label.allCases.map(\.rawValue) }
        return all(label)
    }

    @Test func samplesHaveTheLabelsAndValuesOfTheTable() {
        let metrics = everything()
        for metric in metrics.snapshot(at: at).metrics {
            let definition = MetricTable.definition(of: metric.name)
            #expect(metric.name == .certificateDays || !metric.samples.isEmpty, "\(metric.name)")
            for sample in metric.samples where !definition.isInformation {
                #expect(sample.labels.count == definition.labels.count, "\(metric.name)")
                for (label, known) in zip(sample.labels, definition.labels) {
                    #expect(label.name == known.label && values(of: known).contains(label.value), "\(metric.name)")
                }
                if case .histogram = sample.value {
                    #expect(definition.kind == .histogram, "\(metric.name)")
                } else {
                    #expect(definition.kind != .histogram, "\(metric.name)")
                }
            }
        }
    }

    /// A relay on which everything happened.
    private func everything() -> Metrics {
        let metrics = Metrics(startedAt: at, version: "1.2.3")
        for result in SendResult.allCases { metrics.sends.add(result, 3) }
        for route in RequestRoute.allCases { for status in StatusClass.allCases { metrics.requests.add(route, status) } }
        metrics.deliveries.add(12)
        metrics.commitSeconds.record(70_000)
        metrics.commitSeconds.record(20_000_000_000)
        metrics.webSockets.set(SizeClass.of(1000))
        metrics.cpuSeconds.set(1.25)
        return metrics
    }

    // MARK: Text

    @Test func theTextIsWhatItsReaderExpects() throws {
        let metrics = everything()
        let families = try PrometheusReader.read(PrometheusText.text(metrics.snapshot(at: at)))
        #expect(families.map(\.name) == MetricTable.all.map(\.name.rawValue))
        for (family, definition) in zip(families, MetricTable.all) {
            #expect(family.help == definition.help && family.type == definition.kind.rawValue)
        }
        func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
            families.flatMap(\.samples).first { $0.name == name && $0.labels == labels }?.value
        }
        #expect(value("relayd_sends_total", ["result": "device_set"]) == 3)
        #expect(value("relayd_requests_total", ["route": "/v1/users/{userId}", "status": "4xx"]) == 1)
        #expect(value("relayd_connections", ["kind": "websocket"]) == 1024)
        #expect(value("relayd_cpu_seconds_total") == 1.25)
        #expect(value("relayd_commit_seconds_bucket", ["le": "5e-05"]) == 0)
        #expect(value("relayd_commit_seconds_bucket", ["le": "0.0001"]) == 1)
        #expect(value("relayd_commit_seconds_bucket", ["le": "10"]) == 1)
        #expect(value("relayd_commit_seconds_bucket", ["le": "+Inf"]) == 2)
        #expect(value("relayd_commit_seconds_sum") == 20.00007)
        #expect(value("relayd_commit_seconds_count") == 2)
        #expect(value("relayd_start_time_seconds") == 1_790_000_000.5)
        #expect(value("relayd_build_info", ["version": "1.2.3"]) == 1)
    }

    @Test func whatNeedsEscapesGetsThem() throws {
        let wild = "a \"b\" \\ c\nd\\n"
        var text = ""
        PrometheusText.write("x", help: wild, kind: "gauge", [MetricSample([("label", wild)], .number(0.1))], into: &text)
        let family = try #require(try PrometheusReader.read(text).first)
        #expect(family.help == wild && family.samples.first?.labels == ["label": wild] && family.samples.first?.value == 0.1)
        #expect(text.split(separator: "\n").count == 3)
    }

    @Test(arguments: [
        (0.0, "0"), (1, "1"), (-3, "-3"), (0.5, "0.5"), (1e15, "1000000000000000"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
    ])
    func numbers(value: Double, text: String) { #expect(PrometheusText.number(value) == text) }

    @Test(
        "The reader finds what is wrong",
        arguments: [
            "x 1\n", "# HELP x y\n# TYPE x gauge\nx 1", "# HELP x y\n# TYPE x gauge\ny 1\n", "# HELP x y\n# TYPE x gauge\nx{a=\"\\q\"} 1\n",
            "# HELP x y\n# TYPE x gauge\nx 1\nx 2\n",
            "# HELP x y\n# TYPE x histogram\nx_bucket{le=\"1\"} 2\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 1\n",
            "# HELP x y\n# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_sum 1\nx_count 1\n",
        ])
    func badText(text: String) { #expect(throws: PrometheusReader.Failure.self) { try PrometheusReader.read(text) } }

    // MARK: Grain and history

    /// Somebody who reads all the time sees no single message.
    @Test func nothingChangesBetweenTwoSnapshots() {
        let metrics = Metrics()
        let published = PublishedMetrics(metrics.snapshot(at: at))
        let before = published.text
        metrics.sends.add(.overloaded)
        metrics.deliveries.add(2 * Limits.metricMessageStep)
        #expect(published.text == before)
        published.publish(metrics.snapshot(at: at + Limits.metricInterval))
        #expect(published.snapshot.number(.sends, "overloaded") == 1)
    }

    /// A live view sees more than others only in a crowd.
    @Test func aLookIsOfNowWhileManyMessagesPass() {
        let metrics = Metrics()
        let published = PublishedMetrics(metrics.snapshot(at: at), of: metrics)
        metrics.sends.add(.accepted, Limits.metricMessageStep - 1)
        metrics.sends.add(.failed)
        #expect(!published.look(at: at).isLive && published.look(at: at).snapshot == published.snapshot)
        published.publish(metrics.snapshot(at: at + Limits.metricInterval))
        #expect(!published.look(at: at).isLive)
        metrics.sends.add(.accepted, Limits.metricMessageStep)
        published.publish(metrics.snapshot(at: at + Limits.metricInterval * 2))
        metrics.sends.add(.failed)
        let (look, isLive) = published.look(at: at + Limits.metricInterval * 3)
        #expect(isLive && look.number(.sends, "failed") == 2 && look.number(.sends, "accepted") == Double(Limits.metricMessageStep))
        #expect(published.snapshot.number(.sends, "failed") == 1)
        // It is over with the crowd.
        published.publish(metrics.snapshot(at: at + Limits.metricInterval * 3))
        #expect(!published.look(at: at).isLive)
    }

    /// How much people write is shown in steps; what goes wrong is shown as it is.
    @Test func messagesAreShownInSteps() {
        let metrics = Metrics()
        metrics.sends.add(.accepted, 2 * Limits.metricMessageStep - 1)
        metrics.sends.add(.repeated, 7)
        metrics.sends.add(.failed, 7)
        let snapshot = metrics.snapshot(at: at)
        #expect(snapshot.number(.sends, "accepted") == Double(Limits.metricMessageStep))
        #expect(snapshot.number(.sends, "repeated") == 0 && snapshot.number(.sends, "failed") == 7)
    }

    @Test func oneValueAMinuteForADay() {
        let metrics = Metrics()
        var history = MetricHistory()
        let steps = (Limits.metricHistory + 10) * 4
        for step in 0...steps {
            history.add(metrics.snapshot(at: at + Limits.metricInterval * step))
            metrics.sends.add(.accepted, Limits.metricMessageStep)
            metrics.sends.add(.deviceSet)
            if step > steps / 2 { metrics.commitSeconds.record(1_000_000) }
        }
        #expect(history.times.count == Limits.metricHistory)
        #expect(history.times.last == at + Limits.metricInterval * steps)
        #expect(zip(history.times, history.times.dropFirst()).allSatisfy { $1 - $0 == .seconds(60) })
        #expect(history.values(of: .sends).allSatisfy { $0 == 4 * Double(Limits.metricMessageStep) })
        #expect(history.values(of: .refused).allSatisfy { $0 == 4 })
        #expect(history.values(of: .commitP99).first == .some(nil), "nothing was committed then")
        #expect(abs(((history.values(of: .commitP99).last ?? nil) ?? 0) - 0.001) < 0.0001)
    }

    @Test func aMinuteThatIsALittleLateCounts() {
        var history = MetricHistory()
        let metrics = Metrics()
        for step in 0...8 { history.add(metrics.snapshot(at: at + .milliseconds(15_000 * step - (step == 4 ? 3 : 0)))) }
        #expect(history.times.count == 2)
    }

    @Test func aClockThatIsSetBackBeginsAnew() {
        var history = MetricHistory()
        let metrics = Metrics()
        history.add(metrics.snapshot(at: at))
        history.add(metrics.snapshot(at: at + .seconds(-3600)))
        history.add(metrics.snapshot(at: at + .seconds(-3540)))
        #expect(history.times == [at + .seconds(-3540)])
    }

    // MARK: Labels

    @Test func contactsAreOneRoute() {
        #expect(RequestRoute(template: "/v1/connection/user/{userId}/recipient/{recipientId}/block/{block}") == .contacts)
        #expect(RequestRoute(template: "/v1/connection/user/{userId}") == .contacts)
        #expect(RequestRoute(template: "/v1/chats/{chatId}") == .chat)
        #expect(RequestRoute(template: nil) == .other)
    }

    @Test(arguments: [(200, StatusClass.success), (201, .success), (302, .redirection), (404, .request), (500, .server), (503, .server)])
    func statusClasses(status: Int, shown: StatusClass) { #expect(StatusClass(status: status) == shown) }
}
