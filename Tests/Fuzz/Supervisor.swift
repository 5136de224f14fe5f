import Foundation
import RelayTestSupport

/// Runs one target in a process and judges how it ended.
struct Supervisor {
    var target: String
    var seed: UInt64
    var bound: Bound
    var failures: String
    /// Seconds without an end or a change of the input after which the target hangs.
    var patience: Int

    /// A worker's resident memory: the largest input a thousand times.
    static let residentBytes = 256 * 1024 * 1024

    /// False when something was found.
    func run() async throws -> Bool {
        try FileManager.default.createDirectory(atPath: failures, withIntermediateDirectories: true)
        let current = "\(failures)/\(target).current"
        var arguments = ["worker", target, "--seed", "\(seed)", "--current", current]
        switch bound {
        case .cases(let cases): arguments += ["--cases", "\(cases)"]
        case .seconds(let seconds): arguments += ["--seconds", "\(seconds)"]
        }
        var environment = ProcessInfo.processInfo.environment
        // A crash is told in one line here; the stored input is what counts.
        environment["SWIFT_BACKTRACE"] = "enable=no"
        let worker = try Subprocess("\(Programs.directory)/relay-fuzz", arguments, environment: environment)
        let watching = Task { await watch(worker, current) }
        let status = await worker.waitForExit()
        await worker.standardOutput.waitForEnd()
        await worker.standardError.waitForEnd()
        watching.cancel()
        let stopped = await watching.value
        if status == .exited(0) {
            try? FileManager.default.removeItem(atPath: current)
            print("\(target): \(worker.standardOutput.text.split(separator: "\n").last ?? "no cases")")
            return true
        }
        let kept = "\(failures)/\(target)-\(seed)"
        try? FileManager.default.removeItem(atPath: kept)
        // A worker that could not begin has left none; what it says follows.
        try? FileManager.default.moveItem(atPath: current, toPath: kept)
        let said = (worker.standardOutput.text + worker.standardError.text).split(separator: "\n").prefix(5).joined(separator: "\n  ")
        print(
            """
            \(target): FAILED with \(status)\(stopped.map { ": \($0)" } ?? "")
              \(said)
              the input is \(kept); relay-fuzz replay \(target) \(kept)
            """)
        return false
    }

    /// Ends a worker that hangs or takes too much memory; gives the reason.
    private func watch(_ worker: Subprocess, _ current: String) async -> String? {
        var last: [UInt8]?
        var since = ContinuousClock.now
        while worker.isRunning {
            do { try await Task.sleep(for: .milliseconds(500)) } catch { return nil }
            if let resident = try? ProcessMemory.residentBytes(worker.processID), resident > Supervisor.residentBytes {
                worker.send(SIGKILL)
                return "it takes \(resident / 1024 / 1024) MB of memory"
            }
            let now = CurrentInput.read(current)
            // Until there is an input, the worker is still being loaded.
            if now == nil || now != last {
                last = now
                since = .now
            } else if ContinuousClock.now - since > .seconds(patience) {
                worker.send(SIGKILL)
                return "one input takes longer than \(patience) s"
            }
        }
        return nil
    }
}
