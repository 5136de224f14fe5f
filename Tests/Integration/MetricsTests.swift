import Foundation
import NIOCore
import NIOPosix
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// The technical metrics of the real relayd, in all the ways in which they can be read.
@Suite(.timeLimit(.minutes(10))) struct MetricsTests {
    @Test func whatHappensIsCountedAndEveryReaderSeesTheSame() async throws {
        let relay = try RelayProcess(metrics: true)
        try await relay.start()
        let directory = try TemporaryDirectory()
        let alice = try await device("alice", relay, directory)
        let bob = try await device("bob", relay, directory)
        try await alice.goOnline()
        try await bob.goOnline()
        // Counts of messages are shown in steps.
        let count = Limits.metricMessageStep + 20
        _ = try await alice.session.send((1...count).map { "message \($0)" }, to: "bob")
        try await bob.wait(for: "all messages") { $0.received.count == count }

        var reply = try await relay.chatctl.json(["metrics", "show"], as: MetricsShow.Reply.self)
        // Figures are taken every quarter of a minute.
        while value("relayd_sends_total", ["result": "accepted"], in: reply) == 0 || value("relayd_deliveries_total", in: reply) == 0 {
            reply = try await relay.chatctl.json(["metrics", "show"])
        }
        #expect(value("relayd_sends_total", ["result": "accepted"], in: reply) == Double(Limits.metricMessageStep))
        #expect(value("relayd_connections", ["kind": "websocket"], in: reply) == 2)
        #expect(value("relayd_signins_total", ["result": "accepted"], in: reply) >= 2)
        #expect(value("relayd_store_bytes", in: reply) >= 4096)
        #expect(value("relayd_disk_free_bytes", in: reply) > 0)
        #expect(value("relayd_open_files_limit", in: reply) > 0 && value("relayd_open_files", in: reply) > 0)
        #expect(value("relayd_resident_memory_bytes", in: reply) > 1_000_000)
        #expect(value("relayd_cpu_seconds_total", in: reply) > 0)
        for name in [
            "relayd_send_seconds", "relayd_commit_seconds", "relayd_queue_seconds", "relayd_commit_commands", "relayd_event_loop_lag_seconds",
        ] {
            let found = try #require(histogram(name, in: reply), "\(name)")
            #expect(found.count > 0 && found.counts.reduce(0, +) == found.count, "\(name)")
            #expect((found.p50 ?? -1) >= 0 && (found.p50 ?? 0) <= (found.p999 ?? 0), "\(name)")
        }

        // One snapshot, three readers. Between them a new one may have been taken; then they are asked again.
        while true {
            let first = try await relay.control.request("GET", "/v1/metrics")
            let second = try await Subprocess.run("curl", ["--silent", "--fail", "http://127.0.0.1:\(relay.metricsPort)/metrics"])
            let third = try await relay.chatctl.run("metrics", "show", "--prometheus")
            let fourth: MetricsShow.Reply = try await relay.chatctl.json(["metrics", "show"])
            #expect(first.status == 200 && second.status == .exited(0) && third.succeeded)
            guard time(first.body) == time(second.standardOutput), time(first.body) == time(third.standardOutput),
                time(first.body) == fourth.at.milliseconds
            else { continue }
            #expect(first.body == second.standardOutput && first.body == third.standardOutput)
            #expect(first.body.contains("relayd_sends_total{result=\"accepted\"} \(Limits.metricMessageStep)\n"))
            #expect(lines(first.body) == fourth.metrics.filter { $0.type != "histogram" }.reduce(0) { $0 + $1.samples.count })
            break
        }
        let page = try await relay.chatctl.run("metrics", "show").standardOutput
        #expect(page.contains("MESSAGES\n") && page.contains("relayd_commit_seconds") && page.contains(" ms"))
        #expect(try await relay.chatctl.run("metrics", "history").succeeded)
        let unknown = try await relay.chatctl.run("metrics", "history", "nonsense")
        #expect(unknown.status == .exited(1) && unknown.standardError.contains("hint: there are: sends, "))

        // The listener gives metrics and nothing else.
        for (arguments, status) in [(["--request", "POST"], "405"), ([], "404")] {
            let path = status == "404" ? "/v1/status" : "/metrics"
            let answer = try await Subprocess.run(
                "curl", ["--silent", "--write-out", "%{http_code}"] + arguments + ["http://127.0.0.1:\(relay.metricsPort)\(path)"])
            #expect(answer.standardOutput.hasSuffix(status))
        }
        #expect(try await relay.control.request("POST", "/v1/metrics").status == 400)
        try await alice.close()
        try await bob.close()
        #expect(await relay.terminate() == .exited(0))
    }

    @Test func aPortThatIsTakenIsSaid() async throws {
        let relay = try RelayProcess(metrics: true)
        let other = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: "127.0.0.1", port: relay.metricsPort).get()
        await #expect(throws: SupportFailure.self) { try await relay.start() }
        _ = await relay.terminate()
        #expect(relay.standardError.contains("another program listens there already; metrics.listen says where"))
        try await other.close()
    }

    private func device(_ name: String, _ relay: RelayProcess, _ directory: TemporaryDirectory) async throws -> TestDevice {
        let link = try await relay.chatctl.addUser(name).invite.link
        return try await TestDevice(name: "\(name).phone", link: link, directory: StateDirectory(directory.file(name)))
    }

    private func value(_ name: String, _ labels: [String: String] = [:], in reply: MetricsShow.Reply) -> Double {
        reply.metrics.first { $0.name == name }?.samples.first { $0.labels == labels }?.value ?? -1
    }

    private func histogram(_ name: String, in reply: MetricsShow.Reply) -> MetricHistogramRecord? {
        reply.metrics.first { $0.name == name }?.samples.first?.histogram
    }

    /// When the figures were taken, in milliseconds.
    private func time(_ text: String) -> Int64? {
        text.split(separator: "\n").first { $0.hasPrefix("relayd_metrics_time_seconds ") }
            .flatMap { Double($0.split(separator: " ")[1]) }.map { Int64(($0 * 1000).rounded()) }
    }

    /// Samples that are not of histograms, nor of people: those come at midnight.
    private func lines(_ text: String) -> Int {
        text.split(separator: "\n").count { line in
            !line.hasPrefix("#") && !line.hasPrefix("relayd_people_") && !["_bucket{", "_sum ", "_count "].contains { line.contains($0) }
        }
    }
}
