import Foundation
import RelayTestSupport
import Testing

/// All loads of `chatctl bench` on the real programs, small. It fails on broken promises, never on a figure.
@Suite("Bench") struct BenchTests {
    @Test(.timeLimit(.minutes(10))) func theShortFormKeepsItsPromises() async throws {
        let directory = try TemporaryDirectory()
        var environment = ProcessInfo.processInfo.environment
        environment["SHORT"] = "1"
        environment["TMPDIR"] = directory.path
        let (status, output, errors) = try await Subprocess.run(
            "\(Programs.repository)/Tests/Demo/bench.sh", [Programs.directory, directory.file("results")], environment: environment)
        #expect(status == .exited(0), "\(output)\(errors)")
        let latest = try Data(contentsOf: URL(filePath: directory.file("results/latest.json")))
        let values = try #require(try JSONSerialization.jsonObject(with: latest) as? [String: Any])
        #expect(
            Set(values.keys) == [
                "one_to_one_200_cpu_us", "one_to_one_4k_cpu_us", "one_to_one_200_msgs_per_s", "p99_ms_at_1000", "p999_ms_at_1000",
                "fanout_1000_cpu_us", "fanout_1000_last_ms", "store_cpu_us", "drain_cpu_us", "idle_kb_10k", "idle_kb_19k", "seed_load_p99_ms",
                "seed_load_cores", "key_change_last_ms", "key_change_cpu_us", "command_status_ms", "command_slowest_ms", "lost",
                "doubled", "context",
            ])
        #expect(values["lost"] as? Int == 0 && values["doubled"] as? Int == 0)
        for (key, value) in values where !["lost", "doubled", "context"].contains(key) {
            #expect(value is Double, "\(key): \(value)")
        }
    }
}
