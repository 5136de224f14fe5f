import NIOCore
import RelayDirectory
import RelayModel
import RelayStorage

// What devices ask about chats over REST. Any thread.
extension MessageSending {
    /// Finds or makes the one-to-one chat with another user.
    package func openChat(_ principal: Principal, with user: UserID) async throws(SendingError) -> (ChatID, members: [UserID]) {
        guard case .chatOpened(let chat) = try await perform(.openChat(principal.user, user)) else { throw .storeFailed }
        return (chat, members: [principal.user, user].sorted())
    }

    /// The members of one of the user's chats.
    package func chat(_ principal: Principal, _ chat: ChatID) async throws(SendingError) -> [UserID] {
        try await look { try MessageSending.members(of: chat, for: principal, $0) }
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
            var rows = try reader.conversations(of: principal.user)
            if let since { rows.removeAll { ($0.last?.message.time ?? since) <= since } }
            if after > 0 { rows.removeAll { ($0.last?.message.rawValue ?? $0.chat.rawValue) >= after } }
            let page = Array(rows.prefix(pageSize))
            let next = page.count < rows.count ? page.last.map { $0.last?.message.rawValue ?? $0.chat.rawValue } ?? 0 : 0
            return (page, next)
        }
    }

    /// One page of a chat: newer than `after`, oldest first; otherwise older than `before` (or from the end), newest first.
    package func messages(
        _ principal: Principal, chat: ChatID, after: UInt64?, before: UInt64?, pageSize: Int
    ) async throws(SendingError) -> (rows: [StoredEnvelope], next: UInt64) {
        try await look { reader in
            _ = try MessageSending.members(of: chat, for: principal, reader)
            let start = after.map { Reader.PageStart.after($0) } ?? .before(before ?? .max)
            let rows = try reader.messages(of: chat, for: principal.user, start, limit: pageSize + 1, bytes: Limits.pageBytes)
            let page = Array(rows.prefix(pageSize))
            // A page that ended because of its bytes has a next one too; asking for an empty one at the very end does no harm.
            let bytes = page.reduce(0) { $0 + $1.body.readableBytes }
            let more = rows.count > page.count || bytes >= Limits.pageBytes
            return (page, more ? page.last?.chatSeq ?? 0 : 0)
        }
    }

    package func receipts(_ principal: Principal, chat: ChatID) async throws(SendingError) -> [ReceiptRow] {
        try await look { reader in
            _ = try MessageSending.members(of: chat, for: principal, reader)
            return try reader.receipts(of: chat)
        }
    }

    /// What became of a message of this device, and how far the other members are in its chat.
    package func status(
        _ principal: Principal, chat: ChatID, clientMessageID: UInt64
    ) async throws(SendingError) -> (SentOutcome, [ReceiptRow]) {
        let found = try await look { reader -> (SentOutcome, [ReceiptRow])? in
            let members = try MessageSending.members(of: chat, for: principal, reader)
            guard let sent = try reader.message(of: principal.device, in: chat, clientMessageID: clientMessageID) else { return nil }
            let known = Dictionary(uniqueKeysWithValues: try reader.receipts(of: chat).map { ($0.user, $0) })
            return (
                sent,
                members.filter { $0 != principal.user }.map {
                    known[$0] ?? ReceiptRow(chat: chat, user: $0, deliveredSeq: 0, readSeq: 0, version: 0)
                }
            )
        }
        guard let found else { throw .messageUnknown }
        return found
    }

    /// Sends without a WebSocket.
    package func send(_ principal: Principal, _ send: Send) async throws(SendingError) -> SentOutcome {
        let outcome = try await perform(.send(send))
        guard case .sent(let sent) = outcome else { throw .storeFailed }
        return sent
    }

    private static func members(of chat: ChatID, for principal: Principal, _ reader: Reader) throws -> [UserID] {
        let members = try reader.members(of: chat)
        guard members.contains(principal.user) else { throw Rejection.chatUnknown }
        return members
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
