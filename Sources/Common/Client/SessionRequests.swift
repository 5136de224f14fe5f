import NIOCore
import RelayHTTP
import RelayModel

/// What the session's owner asks of it: send, mark as read, look, wait.
extension Session {
    /// Queues messages for a user, in this order; on disk when it returns. Their numbers name them from now on.
    /// - Throws: ``ClientError/youBlock(_:)``, ``ClientError/blocked(_:)``: nothing is queued then.
    @discardableResult
    package func send(_ texts: [String], to recipient: String) throws(ClientError) -> [Int64] {
        let state = try working()
        let name: String
        do { name = try UserName(recipient).text } catch { throw .userName(error.description) }
        try refuseBlocked(name, state)
        let now = settings.clock.now()
        return try queue(texts.count) { try texts.map { try state.enqueue($0, to: name, writtenAt: now) } }
    }

    /// Writes entries into the outbox, all or none, and sends them on when there is a connection.
    func queue(_ count: Int, _ enqueue: () throws -> [Int64]) throws(ClientError) -> [Int64] {
        let state = try working()
        guard try state.outboxCount() + count <= Limits.clientOutbox else { throw .outboxFull(limit: Limits.clientOutbox) }
        let ids = try state.transaction(enqueue)
        if established { burst() }
        return ids
    }

    @discardableResult
    package func send(_ text: String, to recipient: String) throws(ClientError) -> Int64 {
        guard let id = try send([text], to: recipient).first else { throw .stopped }
        return id
    }

    /// The person has read the chat up to and with `seq`. Kept, and told to the relay as soon as it can be.
    package func markRead(_ chat: ChatID, _ seq: UInt64) throws(ClientError) {
        let state = try working()
        try state.transaction { try state.storeRead(chat, seq) }
        if established {
            sendRead(chat, seq)
            channel?.flush()
        }
    }

    /// Reads the state between two bursts.
    package func read<Value: Sendable>(_ body: @Sendable (ClientState) throws(ClientError) -> Value) throws(ClientError) -> Value {
        try body(working())
    }

    package var isConnected: Bool { established }
    /// Everything that waited in the mailbox when this connection was opened has been stored, with what had to be asked about it.
    package var isCaughtUp: Bool {
        established && caughtUpFlag && contactsSynced && !syncingContacts && behind.isEmpty && refreshes.isEmpty && !lookingUp
    }
    /// Why the session ended by itself.
    package var endedBecause: ClientError? { failure }

    /// Waits until the condition holds. It is looked at now, and after each burst and each change.
    package func wait(for what: String, timeout: Duration? = nil, until condition: @escaping @Sendable (isolated Session) throws(ClientError) -> Bool)
        async throws(ClientError)
    {
        // The first look comes when the waiter is in its place: a task that prefers an executor leaves the actor at each await, so that others may run
        // before the continuation is made.
        let result = await withCheckedContinuation { continuation in
            let number = nextWaiter
            nextWaiter += 1
            var waiter = Waiter(condition: condition, continuation: continuation)
            if let timeout {
                waiter.timer = loop.scheduleTask(in: TimeAmount(timeout)) { [weak self] in
                    self?.assumeIsolated { $0.waiters.removeValue(forKey: number)?.continuation.resume(returning: .failure(.timeout(what))) }
                }
            }
            waiters[number] = waiter
            check(number, waiter)
        }
        try result.get()
    }

    /// Waits until each of these messages has got as far as `stage`, or is a dead letter.
    package func wait(for ids: [Int64], _ stage: SendStage, timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "messages to be \(stage)", timeout: timeout) { session throws(ClientError) in
            // The last one first: while it is not there the others need not be looked at.
            for id in ids.reversed() {
                guard let reached = try session.working().stage(of: id), reached >= stage else { return false }
            }
            return true
        }
    }

    /// Waits until nothing is left in the outbox.
    package func waitUntilSent(timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "the outbox to be empty", timeout: timeout) { session throws(ClientError) in try session.outboxIsEmpty }
    }

    /// Nothing waits to be sent or to be answered, decisions about contacts included.
    package var outboxIsEmpty: Bool {
        get throws(ClientError) {
            let waiting = try working().outboxCount()
            let answered = try decisionsAreAnswered
            return window.isEmpty && waiting == 0 && answered
        }
    }

    /// Waits until the mailbox has been received.
    package func waitUntilCaughtUp(timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "the mailbox to be received", timeout: timeout) { $0.isCaughtUp }
    }

    func checkWaiters() {
        for (number, waiter) in waiters { check(number, waiter) }
    }

    private func check(_ number: Int, _ waiter: Waiter) {
        let result: Result<Void, ClientError>
        do throws(ClientError) {
            if state != nil, try waiter.condition(self) {
                result = .success(())
            } else if let failure {
                result = .failure(failure)
            } else if state == nil {
                result = .failure(.stopped)
            } else {
                return
            }
        } catch {
            result = .failure(error)
        }
        waiters[number] = nil
        waiter.timer?.cancel()
        waiter.continuation.resume(returning: result)
    }
}
