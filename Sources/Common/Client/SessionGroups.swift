import RelayModel
import RelayWire

/// What the session's owner asks of it for groups and deletions. Everything goes through the outbox, so it can be asked while offline too.
extension Session {
    /// Makes a group. Two entries: the group, and its title, which is sealed for its members once there is a chat to seal it for.
    @discardableResult
    package func createGroup(_ title: String, with users: [String]) throws(ClientError) -> [Int64] {
        let title = try Session.checkedTitle(title)
        let names = try checkedNames(users)
        guard !names.isEmpty else { throw .request("a group has at least two members", hint: "name somebody else") }
        let (state, now) = (try working(), settings.clock.now())
        return try queue(2) {
            let group = try state.enqueue(title, to: title, writtenAt: now, target: nil, command: .create(users: names))
            return [group, try state.enqueue(title, to: title, writtenAt: now, target: .unborn(group), command: .rename)]
        }
    }

    /// Queues messages for a group, in this order; on disk when it returns.
    @discardableResult
    package func send(_ texts: [String], toGroup target: GroupTarget) throws(ClientError) -> [Int64] {
        let (state, now) = (try working(), settings.clock.now())
        let label = try label(of: target, state)
        return try queue(texts.count) { try texts.map { try state.enqueue($0, to: label, writtenAt: now, target: target, command: nil) } }
    }

    @discardableResult
    package func add(_ users: [String], to group: GroupTarget) throws(ClientError) -> Int64 { try change(group, .add(users: try someNames(users))) }

    @discardableResult
    package func remove(_ users: [String], from group: GroupTarget) throws(ClientError) -> Int64 {
        try change(group, .remove(users: try someNames(users)))
    }

    @discardableResult
    package func setRole(of users: [String], to role: GroupRole, in group: GroupTarget) throws(ClientError) -> Int64 {
        // One's own role can be given up.
        try change(group, .setRole(users: try Session.normalised(users), role))
    }

    @discardableResult
    package func leave(_ group: GroupTarget) throws(ClientError) -> Int64 { try change(group, .leave) }

    @discardableResult
    package func rename(_ group: GroupTarget, to title: String) throws(ClientError) -> Int64 {
        try change(group, .rename, text: try Session.checkedTitle(title))
    }

    /// Deletes messages of a chat: for everyone, or for this user's devices only. Gives one number for each part of at most
    /// ``Limits/deletionsAtOnce``.
    @discardableResult
    package func delete(_ seqs: [UInt64], in chat: ChatID, forEveryone: Bool) throws(ClientError) -> [Int64] {
        let seqs = Set(seqs).sorted()
        guard let first = seqs.first, first > 0 else { throw .request("name the messages to delete by their numbers", hint: nil) }
        let (state, now) = (try working(), settings.clock.now())
        let label = try label(of: .chat(chat), state)
        var parts: [[UInt64]] = []
        for start in stride(from: 0, to: seqs.count, by: Limits.deletionsAtOnce) {
            parts.append(Array(seqs[start..<min(start + Limits.deletionsAtOnce, seqs.count)]))
        }
        return try queue(parts.count) {
            try parts.map {
                try state.enqueue(
                    "", to: label, writtenAt: now, target: .chat(chat), command: .delete(seqs: $0, forEveryone: forEveryone))
            }
        }
    }

    /// Asks the relay what became of a message that this device sent, for as long as the relay keeps it.
    package func status(of clientMessageID: UInt64, in chat: ChatID) async throws(ClientError) -> MessageStatusRecord {
        let status = try await withToken { token throws(ClientError) in try await api.status(of: clientMessageID, in: chat, token: token) }
        return MessageStatusRecord(
            place: SentPlace(
                chat: ChatID(status.sent.chatID), clientMessageID: status.sent.clientMessageID, message: MessageID(status.sent.messageID),
                chatSeq: status.sent.chatSeq, sentAt: Timestamp(milliseconds: status.sent.sentAtMs)),
            recipients: Int(status.recipients), delivered: Int(status.delivered), read: Int(status.read), deleted: status.deleted)
    }

    private func change(_ group: GroupTarget, _ command: OutboxCommand, text: String = "") throws(ClientError) -> Int64 {
        let (state, now) = (try working(), settings.clock.now())
        let label = try label(of: group, state)
        guard let id = try queue(1, { [try state.enqueue(text, to: label, writtenAt: now, target: group, command: command)] }).first else {
            throw .stopped
        }
        return id
    }

    /// What the person calls the chat.
    private func label(of target: GroupTarget, _ state: ClientState) throws(ClientError) -> String {
        try state.storing {
            switch target {
            case .chat(let chat): try state.label(of: chat) ?? chat.description
            case .unborn(let id): try state.outboxEntry(id)?.text ?? ""
            }
        }
    }

    // MARK: Checking what people give

    private static func checkedTitle(_ text: String) throws(ClientError) -> String {
        let hint = "1 to \(Limits.groupTitleCharacters) characters on one line"
        guard !text.isEmpty, text.contains(where: { !$0.isWhitespace }), text.count <= Limits.groupTitleCharacters else {
            throw .request("this cannot be a group's title", hint: hint)
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw .request("a group's title has no control characters", hint: hint)
        }
        return text
    }

    private static func normalised(_ users: [String]) throws(ClientError) -> [String] {
        var names: Set<String> = []
        for user in users {
            do { names.insert(try UserName(user).text) } catch { throw .userName(error.description) }
        }
        guard names.count < Limits.chatMembers else {
            throw .request("a group has at most \(Limits.chatMembers) members", hint: "make several groups")
        }
        return names.sorted()
    }

    private func checkedNames(_ users: [String]) throws(ClientError) -> [String] {
        let names = try Session.normalised(users)
        guard !names.contains(account.userName) else {
            throw .request("\(account.userName) is this device's own user", hint: "name others; one leaves a group with `group leave`")
        }
        return names
    }

    private func someNames(_ users: [String]) throws(ClientError) -> [String] {
        let names = try checkedNames(users)
        guard !names.isEmpty else { throw .request("name at least one user", hint: nil) }
        return names
    }
}
