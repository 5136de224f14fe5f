import Foundation
import RelayTestSupport
import Synchronization
import Testing

/// Every script in Tests/Scenarios, each a test case of its own. `SCENARIO=name` picks one.
@Suite("Scenarios") struct ScenarioTests {
    static let folder = "\(Programs.repository)/Tests/Scenarios"

    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let names = files.filter { $0.hasSuffix(".scn") }.map { String($0.dropLast(".scn".count)) }.sorted()
        guard let wanted = ProcessInfo.processInfo.environment["SCENARIO"], !wanted.isEmpty else { return names }
        return names.filter { $0 == wanted }
    }()

    @Test func thereAreScripts() { #expect(!Self.names.isEmpty, "no script in \(Self.folder) fits") }

    @Test(.timeLimit(.minutes(10)), arguments: names) func scenario(name: String) async throws {
        do {
            let script = try Script(name: name, text: try String(contentsOfFile: "\(Self.folder)/\(name).scn", encoding: .utf8))
            try await ScenarioRun(script).play()
            Self.tally.note(name, failure: nil)
        } catch {
            Self.tally.note(name, failure: "\(error)")
            Issue.record("\(error)")
        }
    }

    private static let tally = Tally(of: names.count)

    /// Prints a line for each script, and the closing one after the last.
    private final class Tally: Sendable {
        private let total: Int
        private let counts = Mutex((passed: 0, failed: 0))

        init(of total: Int) { self.total = total }

        func note(_ name: String, failure: String?) {
            counts.withLock { counts in
                if let failure {
                    counts.failed += 1
                    print("✘ \(name)\n  \(failure.replacing("\n", with: "\n  "))")
                } else {
                    counts.passed += 1
                    print("✔ \(name)")
                }
                if counts.passed + counts.failed == total { print("\(counts.passed) passed, \(counts.failed) failed") }
                fflush(nil)
            }
        }
    }
}
