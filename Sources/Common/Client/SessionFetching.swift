import RelayHTTP
import RelayModel
import RelayWire

/// What is not in the stream: announced chats, fetched page by page, and receipts of groups that moved while the device was away.
///
/// What was fetched never moves the cursor and is never acknowledged: that is the stream's alone.
extension Session {
    /// Stores fetched envelopes as far as their senders are known, and says what to ask next.
    func storeFetched(_ state: ClientState, _ effects: inout Effects) throws {
        if var current = fetch {
            guard !current.asking else { return }
            var done = 0
            for envelope in current.envelopes {
                if let lookup = try missing(for: envelope, state) {
                    effects.lookup = lookup
                    break
                }
                try store(envelope, mailboxSeq: nil, state, &effects)
                done += 1
            }
            current.envelopes.removeFirst(done)
            fetch = current
            guard current.envelopes.isEmpty else { return }
            if current.next > 0 {
                fetch?.asking = true
                fetch?.announced = behind[current.chat] ?? 0
                effects.page = (current.chat, current.next, nil)
                return
            }
            try state.fetched(current.chat, upTo: current.announced)
            if behind[current.chat] ?? 0 <= current.announced { behind[current.chat] = nil }
            fetch = nil
        }
        guard let (chat, announced) = behind.min(by: { $0.key < $1.key }) else { return }
        let lookup = Lookup.chat(chat, at: 0)
        if try !state.knowsChat(chat), !lookedUp.contains(lookup) {
            effects.lookup = lookup
            return
        }
        fetch = Fetch(chat: chat, announced: announced)
        let highest = try state.highest(chat)
        let known = try compared.insert(chat).inserted ? state.lastPlace(in: chat, upTo: min(highest, announced)) : nil
        effects.page = (chat, highest, known)
    }

    func fetchPage(of chat: ChatID, after seq: UInt64, known: ClientState.KnownPlace?) {
        let connection = connectionNumber
        Task {
            let answer: Result<Relay_V1_MessagesPage, ClientError>
            do throws(ClientError) {
                answer = .success(
                    try await page(behind: seq, known: known) { question async throws(ClientError) in
                        let token = try await self.currentToken()
                        switch question {
                        case .after(let seq):
                            return try await self.api.messages(in: chat, after: seq, pageSize: Limits.pageSizeCeiling, token: token)
                        case .before(let seq):
                            return try await self.api.messages(in: chat, before: seq, pageSize: Limits.pageSizeCeiling, token: token)
                        }
                    })
            } catch {
                answer = .failure(error)
            }
            guard connection == connectionNumber else { return }
            do throws(ClientError) {
                switch answer {
                case .success(let page):
                    fetch?.envelopes = page.messages
                    fetch?.next = page.next
                    fetch?.asking = false
                case .failure(let error):
                    try ignoreRefusal(error)
                    // There is nothing for this user (any more).
                    let state = try working()
                    try state.transaction { try state.fetched(chat, upTo: UInt64(Int64.max)) }
                    behind[chat] = nil
                    fetch = nil
                }
            } catch {
                return giveUpConnection(error)
            }
            burst()
        }
    }

    /// What the relay has behind a place. A relay that was set back has other messages at places that are known here: when it has a newer one at the
    /// last of them, the page begins where the newer ones begin. Identifiers of messages rise with their places, and with each life of the relay.
    /// - Parameter known: the last known place, in the first question of a connection.
    func page(
        behind seq: UInt64, known: ClientState.KnownPlace?, _ ask: @Sendable (PageQuestion) async throws(ClientError) -> Relay_V1_MessagesPage
    ) async throws(ClientError) -> Relay_V1_MessagesPage {
        guard let known, known.seq > 0 else { return try leadsOn(try await ask(.after(seq)), from: seq) }
        var page = try leadsOn(try await ask(.after(known.seq - 1)), from: known.seq - 1)
        let found = page.messages.first { $0.chatSeq == known.seq && !$0.gone }
        guard let found, found.messageID > known.message.rawValue else {
            page.messages.removeAll { $0.chatSeq <= seq }
            if page.next > 0 { page.next = max(page.next, seq) }
            return page
        }
        var before = known.seq
        while true {
            // Newest first.
            let earlier = try await ask(.before(before))
            if let last = earlier.messages.first(where: { !$0.gone && $0.messageID <= known.message.rawValue }) {
                return try leadsOn(try await ask(.after(last.chatSeq)), from: last.chatSeq)
            }
            guard earlier.next > 0 else { return try leadsOn(try await ask(.after(0)), from: 0) }
            guard earlier.next < before else { throw .protocolViolation("a page of a chat leads on where it should lead back") }
            before = earlier.next
        }
    }

    private func leadsOn(_ page: Relay_V1_MessagesPage, from seq: UInt64) throws(ClientError) -> Relay_V1_MessagesPage {
        guard page.next == 0 || page.next > seq else { throw .protocolViolation("a page of a chat leads back") }
        return page
    }

    /// Receipts of groups are pushed to the author while connected; what moved meanwhile is fetched.
    func fetchReceipts() {
        let connection = connectionNumber
        Task {
            do throws(ClientError) {
                let state = try working()
                for chat in try state.transaction({ try state.groupsWithOpenReceipts(limit: Limits.clientReceiptFetches) }) {
                    do throws(ClientError) {
                        let receipts = try await api.receipts(in: chat, token: try await currentToken())
                        guard connection == connectionNumber else { return }
                        try store(receipts.receipts)
                    } catch { try ignoreRefusal(error) }
                }
            } catch {
                // Receipts come again with the next connection; only the disk is worth more.
                if case .store = error { fail(error) }
            }
        }
    }

    private func store(_ receipts: [Relay_V1_Receipt]) throws(ClientError) {
        let state = try working()
        var moved: [SessionEvent] = []
        try state.transaction {
            for receipt in receipts {
                let (chat, user) = (ChatID(receipt.chatID), UserID(receipt.userID))
                let before = try state.watermarks(in: chat, of: user)
                // Its version says nothing about the stream's receipts, which may still be on their way.
                try state.storeReceipt(chat: chat, user: user, delivered: receipt.deliveredSeq, read: receipt.readSeq, version: 0)
                let after = try state.watermarks(in: chat, of: user)
                if before != after { moved.append(.receipt(chat: chat, user: user, after)) }
            }
        }
        for event in moved { events(event) }
        checkWaiters()
    }

    /// What could not be asked leaves the stream stuck: begin again from the cursor, after a back-off.
    func giveUpConnection(_ error: ClientError) {
        if case .store = error { return fail(error) }
        if case .refused(let refusal) = error, refusal.status == 401 { token = nil }
        channel?.close(code: 1001)
    }
}
