import FoundationEssentials
import Glibc
import NIOPosix
import RelayClient
import RelayControl
import RelayCrypto
import RelayModel
import RelayTLS

/// What `chatctl probe` prints.
struct ProbeReport: Codable {
    struct Step: Codable {
        var step: String
        var milliseconds: Double
        /// What went wrong; absent when the step succeeded.
        var error: String?
    }
    var ok: Bool
    var steps: [Step]
}

/// One probe: its steps, and what must be cleared away afterwards.
final class ProbeRun {
    private let control: ControlClient
    private let timeout: Duration
    private let trust: TLSTrust
    private var steps: [ProbeReport.Step] = []
    private var users: [String] = []
    private var sessions: [Session] = []
    private var directory: String?
    /// What chatctl reports in the end.
    private(set) var failure: ControlError?

    init(control: ControlClient, timeout: Duration, trust: TLSTrust) {
        self.control = control
        self.timeout = timeout
        self.trust = trust
    }

    func run() async -> ProbeReport {
        do {
            try await exchange()
        } catch {
            // The step has noted it.
        }
        for session in sessions { await session.close() }
        sessions = []
        if !users.isEmpty {
            // Also after a failure, and each of them.
            try? await step("remove the users") {
                var problem: ControlError?
                for user in users {
                    do throws(ControlError) {
                        _ = try await control.call(UserRemove(user: user, reason: "probe"))
                    } catch { problem = error }
                }
                if let problem { throw problem }
            }
        }
        if let directory { ProbeRun.remove(directory) }
        return ProbeReport(ok: failure == nil, steps: steps)
    }

    private func exchange() async throws {
        try await step("reach relayd") { _ = try await control.greet() }
        let tag = SystemEntropy().bytes(5).map { String($0, radix: 36) }.joined()
        let names = ["probe-\(tag)-a", "probe-\(tag)-b"]
        var links: [String] = []
        try await step("add two users") {
            for name in names {
                let reply = try await control.call(UserAdd(user: name, displayName: nil, inviteLifetimeSeconds: 300))
                users.append(reply.user.name)
                links.append(reply.invite.link)
            }
        }
        let directory = try await step("make a directory for their keys") { try ProbeRun.temporaryDirectory() }
        self.directory = directory
        var states: [StateDirectory] = []
        try await step("enrol two devices") {
            for (name, link) in zip(["a", "b"], links) {
                let state = StateDirectory("\(directory)/\(name)")
                _ = try await Enrolment.enrol(
                    link: try InviteLink(link, trust: trust), deviceName: "probe", directory: state, group: MultiThreadedEventLoopGroup.singleton)
                states.append(state)
            }
        }
        try await step("authenticate and connect") {
            for state in states {
                let session = try Session(state)
                sessions.append(session)
                await session.start()
            }
            for session in sessions { try await session.waitUntilCaughtUp(timeout: timeout) }
        }
        let (first, second) = (sessions[0], sessions[1])
        // Under every policy of the relay.
        try await step("become contacts") {
            try await decide(first, try await first.request(names[1]))
            try await decide(second, try await second.accept(names[0]))
        }
        try await step("send a message") { try await first.wait(for: [try await first.send("ping \(tag)", to: names[1])], .sent, timeout: timeout) }
        try await step("receive it") { try await receive("ping \(tag)", second) }
        try await step("send an answer") { try await second.wait(for: [try await second.send("pong \(tag)", to: names[0])], .sent, timeout: timeout) }
        try await step("receive the answer") { try await receive("pong \(tag)", first) }
        try await step("get the receipt") {
            let ids = try await first.read { state throws(ClientError) in try state.history().compactMap(\.outboxID) }
            try await first.wait(for: ids, .delivered, timeout: timeout)
        }
    }

    /// Waits until the relay has done it.
    private func decide(_ session: Session, _ id: Int64) async throws {
        try await session.wait(forDecisions: [id], timeout: timeout)
    }

    private func receive(_ text: String, _ session: Session) async throws {
        try await session.wait(for: "the message", timeout: timeout) { session throws(ClientError) in
            try session.read { state throws(ClientError) in try state.history().contains { $0.text == text } }
        }
    }

    private func step<Result>(_ name: String, _ body: () async throws -> Result) async throws -> Result {
        Talk.progress(name)
        let start = ContinuousClock.now
        func note(_ error: String?) {
            let spent = ContinuousClock.now - start
            let milliseconds = Double(spent.components.seconds) * 1000 + Double(spent.components.attoseconds) / 1e15
            steps.append(ProbeReport.Step(step: name, milliseconds: (milliseconds * 1000).rounded() / 1000, error: error))
            Talk.endProgress()
        }
        do {
            let result = try await body()
            note(nil)
            return result
        } catch {
            let problem =
                switch error {
                case let error as ControlError: error
                case let error as ClientError: ControlError(error)
                default: ControlError(.failed, "\(error)")
                }
            note(problem.message)
            // What cannot be reached or is not permitted keeps its own exit status; a relay that answers and does not work is a failed probe.
            let code = steps.count == 1 || problem.code == .notPermitted ? problem.code : .failed
            if failure == nil { failure = ControlError(code, "the probe failed at “\(name)”: \(problem.message)", hint: problem.hint) }
            throw problem
        }
    }

    // MARK: The temporary directory

    private static func temporaryDirectory() throws(ControlError) -> String {
        var template = Array("\(environment("TMPDIR") ?? "/tmp")/chatctl-probe-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw ControlError(.failed, "no temporary directory can be made: \(String(cString: strerror(errno)))", hint: "set TMPDIR")
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func remove(_ directory: String) {
        do { try FileManager.default.removeItem(atPath: directory) } catch { Talk.say("\(directory) cannot be removed: \(error)") }
    }
}
