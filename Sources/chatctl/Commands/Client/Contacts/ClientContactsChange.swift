import ArgumentParser
import RelayClient
import RelayControl
import RelayModel
import Synchronization

/// Keeps what is decided about a contact, waits until the relay has answered, and says what became of it.
struct ClientContactsChange {
    /// What decisions take besides whom they are about.
    struct Options: ParsableArguments {
        @Option(help: ArgumentHelp("Give up waiting after so long, as 30s, 5m or 1h; the decision is kept and sent later.", valueName: "span"))
        var timeout: Lifetime?

        @Flag(help: "Only keep it; the next `send` or `listen` sends it. A block holds on this device at once.")
        var later = false

        @OptionGroup var client: ClientOptions
    }

    /// - Parameter done: the sentence for people.
    static func run(
        _ options: Options, _ user: String, _ decide: @Sendable (isolated Session) throws(ClientError) -> [Int64], done: String
    ) async throws {
        try await translatingClientErrors {
            let answers = DecisionAnswers()
            let session = try Session(options.client.directory) { answers.handle($0) }
            let ids: [Int64]
            let contact: KnownContact?
            do {
                ids = try await decide(session)
                answers.begin(ids)
                if !options.later, !ids.isEmpty {
                    await session.start()
                    try await session.wait(forDecisions: ids, timeout: options.timeout.map { .seconds($0.seconds) })
                }
                let name = (try? UserName(user).text) ?? user
                contact = try await session.read { state throws(ClientError) in try state.contact(named: name) }
                await session.close()
            } catch {
                await session.close()
                throw error
            }
            try report(
                ContactOutcome(
                    name: user, reached: options.later && !ids.isEmpty ? "queued" : contact?.isInConflict == true ? "conflict" : "done",
                    contact: contact.map { ContactReport($0) }), answers.refusal, options.client, done: done)
        }
    }

    /// Prints the outcome; throws when the decision did not become what was wanted.
    static func report(_ outcome: ContactOutcome, _ refusal: Refusal?, _ client: ClientOptions, done: String) throws {
        var outcome = outcome
        if let refusal { (outcome.reached, outcome.code, outcome.reason) = ("refused", refusal.code, refusal.message) }
        try client.output.show(outcome) { page in
            switch outcome.reached {
            case "done": page.line(done, .good)
            case "queued": page.line("Kept; the next `send` or `listen` sends it.")
            default: break
            }
        }
        if let refusal {
            throw ControlError(
                .failed, "the decision about \(outcome.name) was not accepted: \(refusal.message) (\(refusal.code))",
                hint: refusal.hint.isEmpty ? nil : refusal.hint)
        }
        if let conflict = outcome.contact?.conflict, outcome.reached == "conflict" {
            throw ControlError(
                .failed,
                "another device of yours decided otherwise about \(outcome.name): here it was \(conflict.decided.joined(separator: ", then ")), the relay has \(conflict.relay)",
                hint:
                    "say what holds: chatctl client contacts resolve \(outcome.name) --state \(client.directory.path), with --keep-relay or --repeat-mine"
            )
        }
    }
}

/// Remembers what the relay refused of the decisions that are waited for; says the rest on the standard error. Any thread.
private final class DecisionAnswers: Sendable {
    private struct State {
        var own: Set<Int64> = []
        var refusal: Refusal?
        var offline = false
    }
    private let state = Mutex(State())

    /// The decisions of this command; earlier ones that are sent first are only told of.
    func begin(_ ids: [Int64]) { state.withLock { $0.own = Set(ids) } }

    var refusal: Refusal? { state.withLock { $0.refusal } }

    func handle(_ event: SessionEvent) {
        switch event {
        case .decisionRefused(let decision, let refusal):
            let own = state.withLock { state in
                guard state.own.contains(decision.id) else { return false }
                state.refusal = refusal
                return true
            }
            if !own { event.tellDecision() }
        case .conflict(let decision, _): if state.withLock({ !$0.own.contains(decision.id) }) { event.tellDecision() }
        case .disconnected(let error, _):
            let first = state.withLock { state in
                defer { state.offline = true }
                return !state.offline
            }
            if first { Talk.say("\(error.description); trying again") }
        default: break
        }
    }
}
