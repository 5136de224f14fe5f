import NIOPosix
import RelayClient
import RelayModel
import RelayTLS
import Synchronization

/// One enrolled device at work through the real client library, with everything that its user was ever shown.
/// Survives restarts of its session on the same state directory. Any thread.
package final class TestDevice: Sendable {
    /// What the device's user saw, over all sessions.
    package struct Log: Sendable {
        package var received: [HistoryEntry] = []
        package var unreadable: [HistoryEntry] = []
        package var answers: [(id: Int64, place: SentPlace)] = []
        package var dead: [DeadLetter] = []
        /// Changes of groups that others made.
        package var changes: [HistoryEntry] = []
        /// All of these together, in the order in which they were shown.
        package var shown: [HistoryEntry] = []
        /// Messages that were deleted on other devices.
        package var deletions: [(chat: ChatID, seqs: [UInt64], forEveryone: Bool)] = []
        /// What became of decisions about contacts.
        package var decided: [ContactDecision] = []
        package var conflicts: [ContactDecision] = []
        package var refusedDecisions: [(decision: ContactDecision, refusal: Refusal)] = []
        /// Messages that could not be read and came again.
        package var recovered: [HistoryEntry] = []
        /// Places of messages that this device was asked for and sends again.
        package var resent: [UInt64] = []
        package var refusedKeys: [KeyRefusal] = []
        /// What was told of contacts, by name, since the last snapshot.
        package var presence: [String: KnownPresence] = [:]
        package var connections = 0
        package var ended: ClientError?
        /// What went wrong without ending the session.
        package var failures: [ClientError] = []
    }

    private struct State {
        var log = Log()
        var session: Session?
        var waiters: [Int: Waiter] = [:]
        var nextWaiter = 0
        var stopsBlockedSends = true
        var hidesBlockedSenders = true
    }
    private struct Waiter {
        var condition: @Sendable (Log) -> Bool
        var continuation: CheckedContinuation<Void, Never>
    }

    /// `alice.phone`.
    package let name: String
    package let account: Account
    package let directory: StateDirectory
    private let state = Mutex(State())
    private let clock: any WallClock

    /// Enrols with an invite link and opens a session, offline.
    package init(name: String, link: String, directory: StateDirectory, clock: any WallClock = SystemWallClock(), trust: TLSTrust = .system)
        async throws
    {
        self.name = name
        self.clock = clock
        self.directory = directory
        let deviceName = name.split(separator: ".").last.map(String.init) ?? name
        account = try await Enrolment.enrol(
            link: try InviteLink(link, trust: trust), deviceName: deviceName, directory: directory, group: MultiThreadedEventLoopGroup.singleton,
            clock: clock)
        try open()
    }

    /// The session; throws after ``close()``.
    package var session: Session {
        get throws {
            guard let session = state.withLock({ $0.session }) else { throw SupportFailure("\(name) is closed") }
            return session
        }
    }

    package var log: Log { state.withLock { $0.log } }

    /// Connects; returns when the mailbox has been received.
    package func goOnline(timeout: Duration = .seconds(300)) async throws {
        try await session.start()
        try await session.waitUntilCaughtUp(timeout: timeout)
    }

    /// Connects in its own time.
    package func start() async throws { try await session.start() }

    package func goOffline() async throws { try await session.goOffline() }

    /// Ends the client program; ``reopen()`` starts it again on the same directory.
    package func close() async throws {
        try await session.close()
        state.withLock { $0.session = nil }
    }

    package func reopen() throws { try open() }

    /// Whether the client itself enforces blocks, from the next session on.
    package func enforceBlocks(sending: Bool? = nil, receiving: Bool? = nil) {
        state.withLock {
            $0.stopsBlockedSends = sending ?? $0.stopsBlockedSends
            $0.hidesBlockedSenders = receiving ?? $0.hidesBlockedSenders
        }
    }

    private func open() throws {
        var settings = SessionSettings()
        settings.clock = clock
        // A relay that comes back is found at once: tests do not wait for politeness.
        settings.backoff = Backoff(base: .milliseconds(20), ceiling: .milliseconds(200))
        (settings.stopsBlockedSends, settings.hidesBlockedSenders) = state.withLock { ($0.stopsBlockedSends, $0.hidesBlockedSenders) }
        let session = try Session(directory, settings: settings) { [weak self] in self?.note($0) }
        state.withLock { $0.session = session }
    }

    private func note(_ event: SessionEvent) {
        let ready = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            switch event {
            case .received(let entry), .unreadable(let entry), .changed(let entry): state.log.shown.append(entry)
            default: break
            }
            switch event {
            case .received(let entry): state.log.received.append(entry)
            case .unreadable(let entry): state.log.unreadable.append(entry)
            case .sent(let id, let place): state.log.answers.append((id, place))
            case .dead(let letter): state.log.dead.append(letter)
            case .connected: state.log.connections += 1
            case .ended(let error): state.log.ended = error
            case .changed(let entry): state.log.changes.append(entry)
            case .deleted(let chat, let seqs, let forEveryone, _): state.log.deletions.append((chat, seqs, forEveryone))
            case .logNotEmptied(let error): state.log.failures.append(error)
            case .decided(let decision): state.log.decided.append(decision)
            case .conflict(let decision, _): state.log.conflicts.append(decision)
            case .decisionRefused(let decision, let refusal): state.log.refusedDecisions.append((decision, refusal))
            case .recovered(let entry): state.log.recovered.append(entry)
            case .resending(_, let seq, _, _): state.log.resent.append(seq)
            case .keysRefused(_, _, _, let refusal): state.log.refusedKeys.append(refusal)
            case .presence(let users, let isSnapshot):
                if isSnapshot { state.log.presence = [:] }
                for presence in users { if let name = presence.name { state.log.presence[name] = presence } }
            case .keyReplaced, .caughtUp, .receipt, .contacts, .disconnected: break
            }
            let log = state.log
            let done = state.waiters.filter { $0.value.condition(log) }
            for number in done.keys { state.waiters[number] = nil }
            return done.values.map(\.continuation)
        }
        for continuation in ready { continuation.resume() }
    }

    /// Waits until the log is as wished; throws with `what` after `timeout`.
    package func wait(for what: String, timeout: Duration = .seconds(300), until condition: @escaping @Sendable (Log) -> Bool) async throws {
        let timedOut = try await withThrowingTaskGroup(of: Bool.self) { group in
            let number = state.withLock { state in
                state.nextWaiter += 1
                return state.nextWaiter
            }
            group.addTask { [self] in
                await withCheckedContinuation { continuation in
                    let now = state.withLock { state -> Bool in
                        if condition(state.log) { return true }
                        state.waiters[number] = Waiter(condition: condition, continuation: continuation)
                        return false
                    }
                    if now { continuation.resume() }
                }
                return false
            }
            group.addTask {
                try await Task.sleep(for: timeout)
                return true
            }
            let first = try await group.next() ?? true
            group.cancelAll()
            // The waiter of a wait that timed out must not be left behind.
            state.withLock { $0.waiters.removeValue(forKey: number) }?.continuation.resume()
            return first
        }
        guard timedOut else { return }
        let log = log
        throw SupportFailure(
            """
            \(name) waited \(timeout) in vain for \(what): it was connected \(log.connections) times, got \(log.answers.count) answers and \
            \(log.received.count) messages, ended: \(log.ended.map { "\($0)" } ?? "no"), failures: \(log.failures)
            """)
    }

    /// Every broken promise in what the device was shown: duplicates, wrong order, unreadable messages.
    package func violations() -> [String] {
        let log = self.log
        var found: [String] = []
        var seen = Set<MessageID>()
        var lastInChat: [ChatID: UInt64] = [:]
        /// Within a chat: what is fetched of one chat comes when it comes.
        var lastOfSender: [String: UInt64] = [:]
        for failure in log.failures { found.append("\(name): \(failure)") }
        for entry in log.received {
            let what = entry.text ?? "message \(entry.message)"
            if !seen.insert(entry.message).inserted { found.append("\(name) was shown “\(what)” twice") }
            if let last = lastInChat[entry.chat], entry.chatSeq <= last {
                found.append("\(name) was shown “\(what)” at place \(entry.chatSeq), behind \(last)")
            }
            let sender = "\(entry.chat)/\(entry.senderDevice)"
            if let last = lastOfSender[sender], entry.clientMessageID <= last {
                found.append("\(name) was shown “\(what)” (#\(entry.clientMessageID)) behind #\(last) of the same device")
            }
            lastInChat[entry.chat] = entry.chatSeq
            lastOfSender[sender] = entry.clientMessageID
        }
        // Identifiers rise with time: what was sent before the device was enrolled has no key for it.
        let recovered = Set(log.recovered.map(\.message))
        for entry in log.unreadable where entry.message.rawValue > account.device.rawValue && !recovered.contains(entry.message) {
            found.append("\(name) cannot read message \(entry.message): \(entry.problem ?? "no reason")")
        }
        return found
    }
}
