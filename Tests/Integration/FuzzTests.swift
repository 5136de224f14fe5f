import Foundation
import RelayTestSupport
import Testing

/// A short run of the fuzzer with fixed seeds, and the proof that it finds what it looks for. `make fuzz` is the long one.
@Suite("Fuzzing") struct FuzzTests {
    static func fuzz(_ arguments: [String], failures: TemporaryDirectory) async throws -> (status: RelayTestSupport.ExitStatus, output: String) {
        let result = try await Subprocess.run(
            "\(Programs.directory)/relay-fuzz", ["run", "--failures", failures.path] + arguments)
        return (result.status, result.standardOutput + result.standardError)
    }

    @Test(.timeLimit(.minutes(10)), arguments: [1, 2]) func nothingBreaks(seed: Int) async throws {
        let failures = try TemporaryDirectory()
        let run = try await Self.fuzz(["--seed", "\(seed)", "--cases", "2500", "--streams", "96"], failures: failures)
        #expect(run.status == .exited(0), "\(run.output)")
        #expect(run.output.contains("nothing found"), "\(run.output)")
    }

    @Test(
        .timeLimit(.minutes(10)),
        arguments: [
            ("faulty-crashing", "FAILED with signal"), ("faulty-leaking", "the heap grew"), ("faulty-lying", "more than 40 bytes passed"),
            ("faulty-endless", "one input takes longer than 4 s"),
        ]) func faultsAreFound(target: String, sentence: String) async throws
    {
        let failures = try TemporaryDirectory()
        let run = try await Self.fuzz(["--target", target, "--seed", "1", "--cases", "100000", "--patience", "4"], failures: failures)
        #expect(run.status == .exited(1), "\(run.output)")
        #expect(run.output.contains(sentence), "\(run.output)")
        // The input that did it is kept.
        let kept = try FileManager.default.contentsOfDirectory(atPath: failures.path)
        #expect(kept == ["\(target)-1"], "\(kept)")
        guard target == "faulty-lying" else { return }
        let again = try await Subprocess.run("\(Programs.directory)/relay-fuzz", ["replay", target, failures.file("\(target)-1")])
        #expect(again.status != .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func theCorpusIsAsGenerated() async throws {
        let run = try await Subprocess.run("\(Programs.directory)/relay-fuzz", ["corpus", "--check"])
        #expect(run.status == .exited(0), "\(run.standardOutput)\(run.standardError)")
    }
}
