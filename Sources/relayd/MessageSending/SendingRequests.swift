import NIOCore
import RelayDirectory
import RelayModel
import RelayStorage

// What devices ask about chats over REST. Any thread.
extension MessageSending {
    /// Finds or makes the one-to-one chat with another user.
    package func openChat(_ principal: Principal, with user: UserID) async throws(SendingError) -> ChatID {
        guard case .chatOpened(let chat) = try await perform(.openChat(principal.user, user, by: principal.device)) else { throw .storeFailed }
        return chat
    }

    /// One of the user's chats, former ones included.
    package func chat(_ principal: Principal, _ chat: ChatID) async throws(SendingError) -> ChatRow {
        try await look { reader in
            guard let row = try reader.chat(chat, for: principal.user), row.kind != .notes else { throw Rejection.chatUnknown }
            return row
        }
    }

    /// One page of the user's chats, newest message first.
    ///
    /// - Parameters:
    ///   - since: only those with a message after this time.
    ///   - after: `next` of the page before; 0 for the first.
    /// - Returns: `next` is 0 at the end.
    package func conversations(
        _ principal: Principal, since: Timestamp?, after: UInt64, pageSize: Int
    ) async throws(SendingError) -> (rows: [ConversationRow], next: UInt64) {
        try await look { reader in
            let (page, more) = try reader.conversations(of: principal.user, since: since, before: after > 0 ? after : .max, limit: pageSize)
            return (page, more ? page.last?.order ?? 0 : 0)
        }
    }

    /// One page of a chat: newer than `after`, oldest first; otherwise older than `before` (or from the end), newest first.
    package func messages(
        _ principal: Principal, chat: ChatID, after: UInt64?, before: UInt64?, pageSize: Int
    ) async throws(SendingError) -> (rows: [StoredEnvelope], next: UInt64) {
        try await look { reader in
            let start = after.map { Reader.PageStart.after($0) } ?? .before(before ?? .max)
            // Asking for an empty one at the very end does no harm.
            let (page, more) = try reader.messages(of: chat, for: principal.user, start, limit: pageSize, bytes: Limits.pageBytes)
            return (page, more ? page.last?.chatSeq ?? 0 : 0)
        }
    }

    package func receipts(_ principal: Principal, chat: ChatID) async throws(SendingError) -> [ReceiptRow] {
        try await look { reader in
            guard let row = try reader.chat(chat, for: principal.user), row.leftSeq == 0 else { throw Rejection.chatUnknown }
            return try reader.receipts(of: chat)
        }
    }

    /// What became of a message of this device, and how far the other members are.
    package func status(_ principal: Principal, chat: ChatID, clientMessageID: UInt64) async throws(SendingError) -> MessageStatusRow {
        let retry = Retry(chat: chat, device: principal.device, clientMessageID: clientMessageID, highest: 0, before: .max)
        guard try await look({ try $0.wasMember(principal.user, of: chat) }) else { throw .rejected(.chatUnknown) }
        guard let (sent, deleted) = try await firstAnswer(to: retry) else { throw .messageUnknown }
        return try await look { try $0.status(of: sent, deleted: deleted, by: principal.user) }
    }

    /// Sends without a WebSocket. The keys are in the order of the users' identifiers.
    package func send(_ send: Send) async throws(SendingError) -> SentOutcome { try await place(.send(send)) }

    /// Changes or makes a group without a WebSocket.
    package func changeGroup(_ change: ChangeGroup) async throws(SendingError) -> SentOutcome { try await place(.changeGroup(change)) }

    /// Deletes messages without a WebSocket.
    package func delete(_ delete: Delete) async throws(SendingError) -> SentOutcome { try await place(.delete(delete)) }

    private func place(_ command: Command) async throws(SendingError) -> SentOutcome {
        switch try await perform(command) {
        case .sent(let sent): return sent
        case .retried(let retry):
            guard let (sent, _) = try await firstAnswer(to: retry) else { throw .rejected(.clientMessageIDUsed(highest: retry.highest)) }
            return sent
        default: throw .storeFailed
        }
    }

    /// Step by step, so that others' reads come in between.
    private func firstAnswer(to retry: Retry) async throws(SendingError) -> (SentOutcome, deleted: Bool)? {
        var retry = retry
        while true {
            let step = retry
            switch try await look({ try $0.firstAnswer(to: step) }) {
            case .sent(let sent, let deleted): return (sent, deleted)
            case .none: return nil
            case .further(let before): retry.before = before
            }
        }
    }

    private func perform(_ command: Command) async throws(SendingError) -> Outcome {
        let outcome: Outcome
        do throws(WriterError) { outcome = try await writer.perform(command, for: self) } catch { throw SendingError(error) }
        if case .rejected(let rejection) = outcome { throw .rejected(rejection) }
        return outcome
    }

    private func look<Result: Sendable>(_ body: @escaping @Sendable (Reader) throws -> Result) async throws(SendingError) -> Result {
        do {
            return try await readers.read(body)
        } catch let rejection as Rejection {
            throw .rejected(rejection)
        } catch let error as WriterError {
            throw SendingError(error)
        } catch {
            throw .storeFailed
        }
    }
}

extension SendingError {
    init(_ error: WriterError) {
        self =
            switch error {
            case .overloaded: .overloaded
            case .stopping: .stopping
            case .storeFailed: .storeFailed
            }
    }
}
