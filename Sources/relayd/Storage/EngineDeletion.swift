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
            let isThere = try checkDeletion(of: command.seqs, in: chat, by: member)
            // To whom nothing may be sent, of that something is taken away is told, and no more.
            if !isThere, try !passes(in: chat), let peer = chat.memberIDs.first(where: { $0 != command.user }) {
                throw try refusal(of: command.user, to: peer)
            }
            for seq in command.seqs { try empty(seq, of: chat) }
            return .sent(try append(new, to: chat, audience: chat.memberIDs, stamp))
        }
        let seen = try self.seen(by: command.user, of: chat)
        guard !seen.isEmpty else { throw Rejection.chatUnknown }
        guard command.seqs.allSatisfy({ seq in seen.contains { $0.contains(seq) } }) else { throw Rejection.positionUnknown }
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
    /// - Returns: whether any of them is still there.
    private func checkDeletion(of seqs: [UInt64], in chat: ChatState, by member: MemberState) throws -> Bool {
        let find = statements.findMessage
        var isThere = false
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
                isThere = true
            }
        }
        return isThere
    }

    private func empty(_ seq: UInt64, of chat: ChatState) throws(SQLiteError) {
        for statement in [statements.emptyMessage, statements.deleteKeys] {
            try statement.run {
                $0.bind(1, chat.id.rawValue)
                $0.bind(2, seq)
            }
        }
    }

    /// The places of a chat that a user may know of: one range for each time in it, both ends included.
    private func seen(by user: UserID, of chat: ChatState) throws -> [ClosedRange<UInt64>] {
        // The end of a stay that goes on is in memory first.
        var ranges = chat.member(user).map { [min($0.joinedSeq, chat.lastSeq)...chat.lastSeq] } ?? []
        let find = try database.prepare("SELECT joined_seq, left_seq FROM members WHERE chat_id = ? AND user_id = ? AND left_seq IS NOT NULL")
        find.bind(1, chat.id.rawValue)
        find.bind(2, user.rawValue)
        while try find.step() { ranges.append(find.unsigned(0)...max(find.unsigned(0), find.unsigned(1))) }
        return ranges
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
