import ArgumentParser
import RelayClient
import RelayControl
import RelayModel
import Synchronization

/// `chatctl client listen`
struct ClientListenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "listen", abstract: "Receive messages and print them as they come.",
        discussion: """
            Stays connected, through restarts of the relay too, until it is ended. Each message is in the history on disk before it is printed and before \
            the relay is told that it has arrived. Also sends what waits in the outbox. While it runs, contacts see that the user is online, unless that is hidden \
            (`client presence hide`). --json prints one message a line. Changes of groups and contacts, and \
            deletions, are told on the standard error.
            """,
        examples: ["client listen --state ~/phone", "client listen --until-caught-up --state ~/phone"])

    @Option(help: ArgumentHelp("End after so many messages.", valueName: "number"))
    var count: Int?

    @Flag(name: .customLong("until-caught-up"), help: "End when the mailbox has been received and the outbox is empty.")
    var untilCaughtUp = false

    @Flag(help: "Tell the senders that the messages were read.")
    var read = false

    @Option(help: ArgumentHelp("End after so long, in seconds; an error when --count or --until-caught-up is not reached.", valueName: "seconds"))
    var timeout: Double?

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
        if let timeout, !(timeout > 0 && timeout < 1e9) { throw ValidationError("--timeout must be a positive number of seconds") }
    }

    func run() async throws {
        try await translatingClientErrors {
            var settings = SessionSettings()
            settings.readsEverything = read
            settings.presence = .share
            let printer = ListenPrinter(client.output, limit: count)
            let session = try Session(client.directory, settings: settings) { printer.handle($0) }
            await session.start()
            do {
                let (limited, untilCaughtUp) = (count != nil, untilCaughtUp)
                do throws(ClientError) {
                    try await session.wait(for: "messages", timeout: timeout.map { .milliseconds(Int64($0 * 1000)) }) { session throws(ClientError) in
                        if printer.failed || limited && printer.isDone { return true }
                        guard untilCaughtUp, session.isCaughtUp else { return false }
                        return try session.outboxIsEmpty
                    }
                } catch {
                    if case .timeout = error, !limited, !untilCaughtUp {} else { throw error }
                }
                await session.close()
                try printer.check()
            } catch {
                await session.close()
                throw error
            }
        }
    }
}

/// Prints messages as the session stores them. On the session's loop.
private final class ListenPrinter: Sendable {
    private struct State {
        var printed = 0
        var offline = false
        var beforeEnrolment = 0
        var failure: ControlError?
    }
    private let output: Output
    private let limit: Int?
    private let state = Mutex(State())

    init(_ output: Output, limit: Int?) {
        self.output = output
        self.limit = limit
    }

    var isDone: Bool { state.withLock { $0.printed >= limit ?? .max } }
    var failed: Bool { state.withLock { $0.failure != nil } }

    func check() throws {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    func handle(_ event: SessionEvent) {
        switch event {
        case .received(let entry):
            // What comes beyond the number asked for is in the history all the same.
            guard !isDone else { return }
            let report = MessageReport(entry)
            do throws(ControlError) {
                try output.stream(report, line: report.line)
                state.withLock { $0.printed += 1 }
            } catch {
                state.withLock { $0.failure = error }
            }
        case .unreadable(let entry) where entry.problem == HistoryEntry.beforeEnrolment:
            state.withLock { $0.beforeEnrolment += 1 }
        case .unreadable(let entry) where entry.problem?.hasPrefix(HistoryEntry.unopened) == true:
            Talk.say("a message of \(entry.senderName ?? "somebody") \(Printable.line(entry.problem ?? ""))")
        case .recovered(let entry): Talk.say("a message that could not be read was sent again: \(MessageReport(entry).line)")
        case .resending(_, _, _, let name): Talk.say("\(name ?? "somebody") could not read a message: it is sent again")
        case .keyReplaced(let version): Talk.say("this device has a new agreement key, number \(version)")
        case .keysRefused(_, let name, let device, let refusal):
            Talk.say("keys of \(name ?? "somebody")'s device \(device) are not taken: \(refusal.sentence)")
        case .unreadable(let entry):
            Talk.say("a message of \(entry.senderName ?? "somebody") cannot be read: \(entry.problem ?? "unknown")")
        case .dead(let letter):
            Talk.say("\(letter.what) was not accepted: \(letter.reason) (\(letter.code))")
        case .connected:
            if state.withLock({ state in
                defer { state.offline = false }
                return state.offline
            }) {
                Talk.say("connected again")
            }
        case .disconnected(let error, _):
            let first = state.withLock { state in
                defer { state.offline = true }
                return !state.offline
            }
            if first { Talk.say("\(error.description); trying again") }
        case .caughtUp:
            let older = state.withLock { state in
                defer { state.beforeEnrolment = 0 }
                return state.beforeEnrolment
            }
            if older > 0 { Talk.say("\(Figures.number(older, "message")) cannot be read: \(HistoryEntry.beforeEnrolment)") }
        case .changed(let entry):
            Talk.say("\(Figures.time(entry.sentAt))  \(Printable.line("in \(entry.with ?? entry.chat.description): \(ChangeText.sentence(entry))"))")
        case .deleted(_, let seqs, let forEveryone, _):
            Talk.say("\(Figures.number(seqs.count, "message")) deleted \(forEveryone ? "for everyone" : "on another device of this user")")
        case .logNotEmptied(let error): Talk.say("the state directory may hold what was deleted until the next command: \(error.description)")
        case .contacts(let contacts): for contact in contacts where contact.decisions.isEmpty { Talk.say(contact.sentence) }
        case .conflict, .decisionRefused: event.tellDecision()
        case .sent, .receipt, .decided, .presence, .ended: break
        }
    }
}
