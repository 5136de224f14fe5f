import NIOCore
import RelayModel
import RelaySQLite

// What goes away: by a user's wish, or because it is old.
extension SQLiteEngine {
    /// For everyone: the messages lose their content, and the order to delete them takes the next place of the chat. For the user alone: they are
    /// hidden from the user's devices, which hear of it in the user's notes.
    func delete(_ command: Delete, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device, of: command.user)
        let notes = try command.forEveryone ? nil : findChat(command.user, command.user)
        if command.clientMessageID <= device.highestClientMessageID {
            return try firstAnswer(in: command.forEveryone ? command.chat : notes ?? ChatID(0), command.clientMessageID, device)
        }
        try checkNotSuspended(device)
        guard !command.seqs.isEmpty, command.seqs.count <= Limits.deletionsAtOnce else { throw Rejection.changeInvalid }
        let chat = try chat(command.chat)
        guard chat.kind != .notes else { throw Rejection.chatUnknown }
        var new = NewMessage(
            user: command.user, device: device, clientMessageID: command.clientMessageID,
            extra: .deletion(Deletion(chat: chat.id, seqs: command.seqs)), body: ByteBuffer(), keys: [])
        if command.forEveryone {
            guard let member = chat.member(command.user) else { throw Rejection.chatUnknown }
            try checkDeletion(of: command.seqs, in: chat, by: member)
            for seq in command.seqs { try empty(seq, of: chat) }
            return .sent(try append(new, to: chat, audience: chat.memberIDs, stamp))
        }
        guard try wasMember(command.user, of: chat) else { throw Rejection.chatUnknown }
        guard let last = command.seqs.last, last <= chat.lastSeq else { throw Rejection.positionUnknown }
        for seq in command.seqs {
            try statements.hideMessage.run {
                $0.bind(1, command.user.rawValue)
                $0.bind(2, chat.id.rawValue)
                $0.bind(3, seq)
            }
        }
        let target = try notes.map { try self.chat($0) } ?? makeChat(.notes, [device.user], stamp)
        new.extra = .deletion(Deletion(chat: chat.id, seqs: command.seqs))
        return .sent(try append(new, to: target, audience: [command.user], stamp))
    }

    /// One's own messages, or anybody's for an admin. What is gone already may be named: another device may have been faster.
    private func checkDeletion(of seqs: [UInt64], in chat: ChatState, by member: MemberState) throws {
        let find = statements.findMessage
        for seq in seqs {
            guard seq <= chat.lastSeq, seq >= member.joinedSeq else { throw Rejection.positionUnknown }
            find.bind(1, chat.id.rawValue)
            find.bind(2, seq)
            defer { find.reset() }
            guard try find.step() else { continue }
            switch ExtraBytes.Kind(rawValue: find.integer(1)) {
            case .deleted: continue
            // The chat's own history cannot be deleted.
            case .group, .deletion, nil: throw Rejection.notDeletable
            case .message:
                guard find.unsigned(0) == member.user.id.rawValue || (chat.kind == .group && member.role >= .admin) else {
                    throw Rejection.notDeletable
                }
            }
        }
    }

    private func empty(_ seq: UInt64, of chat: ChatState) throws(SQLiteError) {
        for statement in [statements.emptyMessage, statements.deleteKeys] {
            try statement.run {
                $0.bind(1, chat.id.rawValue)
                $0.bind(2, seq)
            }
        }
    }

    private func wasMember(_ user: UserID, of chat: ChatState) throws -> Bool {
        if chat.member(user) != nil { return true }
        let find = try database.integer("SELECT 1 FROM members WHERE chat_id = \(chat.id.rawValue) AND user_id = \(user.rawValue) LIMIT 1")
        return find != nil
    }

    // MARK: Expiry

    /// Deletes the oldest messages and remembers where they ended.
    /// - Returns: how many messages went.
    func expireMessages(of chat: ChatID, upTo seq: UInt64, limit: Int) throws -> Int {
        let find = statements.findExpired
        find.bind(1, chat.rawValue)
        find.bind(2, min(seq, UInt64(Int64.max)))
        find.bind(3, limit)
        guard try find.step(), !find.isNull(0) else {
            find.reset()
            return 0
        }
        let (last, message, count) = (find.unsigned(0), find.unsigned(1), Int(find.integer(2)))
        find.reset()
        for statement in [statements.expireMessages, statements.expireKeys, statements.expireHidden] {
            try statement.run {
                $0.bind(1, chat.rawValue)
                $0.bind(2, last)
            }
        }
        try statements.writeFloor.run {
            $0.bind(1, chat.rawValue)
            $0.bind(2, last)
            $0.bind(3, message)
        }
        return count
    }
}
