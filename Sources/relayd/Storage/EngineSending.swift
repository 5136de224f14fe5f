import NIOCore
import RelayModel
import RelaySQLite

// Chats and messages.
extension SQLiteEngine {
    func openChat(_ first: UserID, _ second: UserID, by device: DeviceID?, _ stamp: Stamp) throws -> Outcome {
        try checkAllowed(device, of: first)
        guard first != second else { throw Rejection.chatWithSelf }
        let low = try presentUser(min(first, second))
        let high = try presentUser(max(first, second))
        if let known = try findChat(low.id, high.id) { return .chatOpened(known) }
        guard try passes(low, high) else { throw try refusal(of: first, to: second) }
        for user in [low, high] { try checkChatCount(of: user) }
        return .chatOpened(try makeChat(.direct, [low, high], stamp).id)
    }

    func findChat(_ low: UserID, _ high: UserID) throws(SQLiteError) -> ChatID? {
        let find = statements.findChat
        defer { find.reset() }
        find.bind(1, low.rawValue)
        find.bind(2, high.rawValue)
        return try find.step() ? ChatID(find.unsigned(0)) : nil
    }

    func checkChatCount(of user: UserState) throws {
        let count = statements.countChats
        defer { count.reset() }
        count.bind(1, user.id.rawValue)
        guard try count.step(), count.integer(0) < Limits.chatsPerUser else { throw Rejection.chatLimitReached(limit: Limits.chatsPerUser) }
    }

    /// A chat whose members are in it from its first message on. Its identifier is the stamp.
    func makeChat(_ kind: ChatKind, _ users: [UserState], _ stamp: Stamp) throws -> ChatState {
        let chat = ChatState(id: ChatID(stamp.rawValue), kind: kind, members: [], lastSeq: 0)
        try statements.insertChat.run {
            $0.bind(1, chat.id.rawValue)
            $0.bind(2, Int64(kind.rawValue))
            if kind == .group {
                $0.bindNull(3)
                $0.bindNull(4)
            } else {
                $0.bind(3, users.first?.id.rawValue ?? 0)
                $0.bind(4, users.last?.id.rawValue ?? 0)
            }
            $0.bind(5, users.count)
        }
        for user in users { try insertMember(user, into: chat, role: .member, stamp) }
        chats[chat.id] = chat
        return chat
    }

    /// From the chat's next message on.
    func insertMember(_ user: UserState, into chat: ChatState, role: GroupRole, _ stamp: Stamp) throws(SQLiteError) {
        try statements.insertMember.run {
            $0.bind(1, chat.id.rawValue)
            $0.bind(2, user.id.rawValue)
            $0.bind(3, chat.lastSeq + 1)
            $0.bind(4, stamp.rawValue)
            $0.bind(5, Int64(role.rawValue))
        }
        chat.insert(MemberState(user: user, role: role, joinedSeq: chat.lastSeq + 1))
        cachedMembers += 1
    }

    /// Admission happens here, in the order of the commands, so that a race with a change of devices or members has one result.
    func send(_ command: Send, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device, of: command.user)
        if command.clientMessageID <= device.highestClientMessageID {
            return try firstAnswer(in: command.chat, command.clientMessageID, device)
        }
        try checkNotSuspended(device)
        let chat = try chat(command.chat)
        guard chat.kind != .notes, chat.member(command.user) != nil else { throw Rejection.chatUnknown }
        if chat.kind == .direct, chat.members.contains(where: { $0.user.removed }) { throw Rejection.recipientGone }
        if try !passes(in: chat), let peer = chat.memberIDs.first(where: { $0 != command.user }) { throw try refusal(of: command.user, to: peer) }
        let keys = try fit(command.keys, to: chat.members, at: stamp.time)
        let place = NewMessage(user: command.user, device: device, clientMessageID: command.clientMessageID, body: command.body, keys: keys)
        return .sent(try append(place, to: chat, audience: chat.memberIDs, stamp))
    }

    // MARK: Appending

    /// What takes the next place in a chat.
    struct NewMessage {
        var user: UserID
        /// Nil for what the relay itself does in the user's name.
        var device: DeviceState?
        var clientMessageID: UInt64
        var extra: EnvelopeExtra?
        var body: ByteBuffer
        var keys: [MemberKeys]
    }

    /// Gives the message its place and stores it. Nothing is rejected any more.
    func append(_ new: NewMessage, to chat: ChatState, audience: [UserID], _ stamp: Stamp) throws -> SentOutcome {
        chat.lastSeq += 1
        if let device = new.device {
            device.highestClientMessageID = new.clientMessageID
            noteChange(of: device)
        }
        chat.noteAuthor(new.user, of: chat.lastSeq)
        let envelope = StoredEnvelope(
            mailboxSeq: stamp.rawValue, chat: chat.id, chatSeq: chat.lastSeq, message: MessageID(stamp.rawValue), senderUser: new.user,
            senderDevice: new.device?.id ?? DeviceID(0), clientMessageID: new.clientMessageID, body: new.body, keys: PackedKeys(), extra: new.extra)
        try insert(envelope, keys: new.keys)
        return SentOutcome(
            chat: chat.id, clientMessageID: new.clientMessageID, message: envelope.message, chatSeq: envelope.chatSeq,
            publication: Publication(envelope: envelope, audience: audience, keys: new.keys))
    }

    private func insert(_ envelope: StoredEnvelope, keys: [MemberKeys]) throws(SQLiteError) {
        let inRow = keys.count <= Limits.keyRowMembers
        scratch.clear(minimumCapacity: 256)
        if inRow { MemberKeyList.write(keys, to: &scratch) }
        let insert = statements.insertMessage
        insert.bind(1, envelope.chat.rawValue)
        insert.bind(2, envelope.chatSeq)
        insert.bind(3, envelope.message.rawValue)
        insert.bind(5, envelope.senderUser.rawValue)
        insert.bind(6, envelope.senderDevice.rawValue)
        insert.bind(7, envelope.clientMessageID)
        let kind: ExtraBytes.Kind
        switch envelope.extra {
        case nil: kind = .message
        case .group: kind = .group
        case .deletion: kind = .deletion
        case .deleted, .gone: kind = .deleted
        }
        insert.bind(4, kind.rawValue)
        if let extra = envelope.extra {
            extraScratch.clear()
            ExtraBytes.write(extra, to: &extraScratch)
            extraScratch.withUnsafeReadableBytes { insert.bind(8, copying: $0) }
        }
        try scratch.withUnsafeReadableBytes { (keys) throws(SQLiteError) in
            insert.bind(9, borrowing: keys)
            try envelope.body.withUnsafeReadableBytes { (body) throws(SQLiteError) in
                insert.bind(10, borrowing: body)
                defer { insert.reset() }
                _ = try insert.step()
            }
        }
        if !inRow { try insertKeys(keys, of: envelope) }
    }

    private func insertKeys(_ keys: [MemberKeys], of envelope: StoredEnvelope) throws(SQLiteError) {
        var rest = keys[...]
        while let first = rest.first {
            scratch.clear()
            MemberKeyList.write(rest.prefix(Limits.keyRowMembers), to: &scratch)
            rest = rest.dropFirst(Limits.keyRowMembers)
            let insert = statements.insertKeys
            insert.bind(1, envelope.chat.rawValue)
            insert.bind(2, envelope.chatSeq)
            insert.bind(3, first.user.rawValue)
            try scratch.withUnsafeReadableBytes { (bytes) throws(SQLiteError) in
                insert.bind(4, borrowing: bytes)
                defer { insert.reset() }
                _ = try insert.step()
            }
        }
    }

    // MARK: Checks

    /// After the look for a first answer: what was accepted before the suspension stays accepted.
    /// A request may have been let in before the device was revoked or its user suspended. Nil: nobody asks in a user's name.
    func checkAllowed(_ device: DeviceID?, of user: UserID) throws {
        if let device { try checkNotSuspended(try activeDevice(device, of: user)) }
    }

    func checkNotSuspended(_ device: DeviceState) throws(Rejection) { if device.user.suspended { throw .userSuspended } }

    /// The answer that a retry got the first time, when it is among the newest messages of the chat; further back the writer has no time to look.
    func firstAnswer(in chat: ChatID, _ clientMessageID: UInt64, _ device: DeviceState) throws -> Outcome {
        var retry = Retry(
            chat: chat, device: device.id, clientMessageID: clientMessageID, highest: device.highestClientMessageID, before: .max)
        switch try FirstAnswer.look(for: retry, with: statements.scanBack, limit: Limits.retryScan) {
        case .sent(let sent, _): return .sent(sent)
        case .none: throw Rejection.clientMessageIDUsed(highest: retry.highest)
        case .further(let before):
            retry.before = before
            return .retried(retry)
        }
    }

    /// The keys must be for exactly the active devices of exactly the members, and wrapped to agreement keys that are valid.
    /// - Returns: the keys in the order of the members.
    func fit(_ keys: [MemberKeys], to members: [MemberState], at now: Timestamp) throws -> [MemberKeys] {
        var index = 0
        for member in members where !member.user.devices.isEmpty {
            guard index < keys.count, keys[index].user == member.user.id,
                keys[index].keys.fit(member.user.devices, versions: member.user.agreementVersions)
            else {
                return try compare(keys, with: members, at: now)
            }
            index += 1
        }
        guard index == keys.count else { return try compare(keys, with: members, at: now) }
        return keys
    }

    /// Finds out what is wrong, or that only the order was, or that a key is wrapped to an agreement key in its grace period: those are looked up
    /// on the disk.
    private func compare(_ keys: [MemberKeys], with members: [MemberState], at now: Timestamp) throws -> [MemberKeys] {
        var differences: [DeviceSetDifference] = []
        var given = Dictionary(keys.map { ($0.user, $0) }, uniquingKeysWith: { first, _ in first })
        var fitting: [MemberKeys] = []
        for member in members {
            let entry = given.removeValue(forKey: member.user.id)
            let named = Set(entry?.keys.devices ?? [])
            let active = Set(member.user.devices)
            let stale = try member.user.devices.filter { device in
                guard let version = entry?.keys.version(for: device) else { return false }
                return try !isValid(agreementVersion: version, of: device, current: member.user.agreementVersion(of: device), at: now)
            }
            if named != active || !stale.isEmpty {
                differences.append(
                    DeviceSetDifference(
                        user: member.user.id, missing: active.subtracting(named).sorted(), extra: named.subtracting(active).sorted(), stale: stale))
            } else if let entry, !active.isEmpty {
                fitting.append(entry)
            }
        }
        for (user, entry) in given.sorted(by: { $0.key < $1.key }) {
            differences.append(DeviceSetDifference(user: user, missing: [], extra: entry.keys.devices))
        }
        guard differences.isEmpty else { throw Rejection.deviceSetMismatch(differences) }
        return fitting
    }
}
