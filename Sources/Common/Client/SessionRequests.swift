import NIOCore
import RelayHTTP
import RelayModel

/// What the session's owner asks of it: send, mark as read, look, wait.
extension Session {
    /// Queues messages for a user, in this order; on disk when it returns. Their numbers name them from now on.
    @discardableResult
    package func send(_ texts: [String], to recipient: String) throws(ClientError) -> [Int64] {
        let state = try working()
        let name: String
        do { name = try UserName(recipient).text } catch { throw .userName(error.description) }
        guard try state.outboxCount() + texts.count <= Limits.clientOutbox else { throw .outboxFull(limit: Limits.clientOutbox) }
        let now = settings.clock.now()
        let ids = try state.transaction { try texts.map { try state.enqueue($0, to: name, writtenAt: now) } }
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
    /// Everything that waited in the mailbox when this connection was opened has been stored.
    package var isCaughtUp: Bool { established && caughtUpFlag }
    /// Why the session ended by itself.
    package var endedBecause: ClientError? { failure }

    /// Waits until the condition holds. It is looked at after each burst and each change.
    package func wait(for what: String, timeout: Duration? = nil, until condition: @escaping @Sendable (isolated Session) -> Bool)
        async throws(ClientError)
    {
        if condition(self) { return }
        if let failure { throw failure }
        guard state != nil else { throw .stopped }
        let number = nextWaiter
        nextWaiter += 1
        let result = await withCheckedContinuation { continuation in
            var waiter = Waiter(condition: condition, continuation: continuation)
            if let timeout {
                waiter.timer = loop.scheduleTask(in: TimeAmount(timeout)) { [weak self] in
                    self?.assumeIsolated { $0.waiters.removeValue(forKey: number)?.continuation.resume(returning: .failure(.timeout(what))) }
                }
            }
            waiters[number] = waiter
        }
        try result.get()
    }

    /// Waits until each of these messages has got as far as `stage`, or is a dead letter.
    package func wait(for ids: [Int64], _ stage: SendStage, timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "messages to be \(stage)", timeout: timeout) { session in
            // The last one first: while it is not there the others need not be looked at.
            ids.reversed().allSatisfy { id in session.hasReached(id, stage) }
        }
    }

    private func hasReached(_ id: Int64, _ stage: SendStage) -> Bool {
        guard let state, let reached = try? state.stage(of: id) else { return false }
        return reached >= stage
    }

    /// Waits until nothing is left in the outbox.
    package func waitUntilSent(timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "the outbox to be empty", timeout: timeout) { $0.outboxIsEmpty }
    }

    /// Nothing waits to be sent or to be answered.
    package var outboxIsEmpty: Bool {
        guard window.isEmpty, let state else { return false }
        return (try? state.outboxCount()) == 0
    }

    /// Waits until the mailbox has been received.
    package func waitUntilCaughtUp(timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "the mailbox to be received", timeout: timeout) { $0.isCaughtUp }
    }

    func checkWaiters() {
        for (number, waiter) in waiters {
            let result: Result<Void, ClientError>
            if waiter.condition(self) {
                result = .success(())
            } else if let failure {
                result = .failure(failure)
            } else if state == nil {
                result = .failure(.stopped)
            } else {
                continue
            }
            waiters[number] = nil
            waiter.timer?.cancel()
            waiter.continuation.resume(returning: result)
        }
    }
}
