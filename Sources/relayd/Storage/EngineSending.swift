import NIOCore
import RelayModel
import RelaySQLite

// Chats, messages, cursors and receipts.
extension SQLiteEngine {
    func openChat(_ first: UserID, _ second: UserID, _ stamp: Stamp) throws -> Outcome {
        guard first != second else { throw Rejection.chatWithSelf }
        let low = try user(min(first, second))
        let high = try user(max(first, second))
        guard !low.removed, !high.removed else { throw Rejection.userUnknown }
        let find = statements.findChat
        defer { find.reset() }
        find.bind(1, low.id.rawValue)
        find.bind(2, high.id.rawValue)
        if try find.step() { return .chatOpened(ChatID(find.unsigned(0))) }

        let id = ChatID(stamp.rawValue)
        try statements.insertChat.run {
            $0.bind(1, id.rawValue)
            $0.bind(2, low.id.rawValue)
            $0.bind(3, high.id.rawValue)
        }
        for member in [low, high] {
            try statements.insertMember.run {
                $0.bind(1, id.rawValue)
                $0.bind(2, member.id.rawValue)
            }
        }
        chats[id] = ChatState(
            id: id, members: [low, high].map { MemberState(user: $0, deliveredSeq: 0, readSeq: 0, version: 0) }, lastSeq: 0)
        return .chatOpened(id)
    }

    /// Admission happens here, in the order of the commands, so that a race with a change of devices or members has one result.
    func send(_ command: Send, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device)
        guard device.user.id == command.user else { throw Rejection.deviceUnknown }
        let chat = try chat(command.chat)
        guard chat.members.contains(where: { $0.user === device.user }) else { throw Rejection.chatUnknown }
        if command.clientMessageID <= device.highestClientMessageID { return .sent(try firstAnswer(to: command, device)) }
        guard !device.user.suspended else { throw Rejection.userSuspended }
        guard chat.members.allSatisfy({ !$0.user.removed }) else { throw Rejection.recipientGone }
        try checkDevices(of: command, in: chat)

        chat.lastSeq += 1
        device.highestClientMessageID = command.clientMessageID
        noteChange(of: device)
        device.senderChanged = true
        let message = MessageID(stamp.rawValue)
        try insertMessage(command, message, seq: chat.lastSeq)
        var places: [MailboxPlace] = []
        places.reserveCapacity(chat.members.count)
        for (index, member) in chat.members.enumerated() {
            member.user.lastMailboxSeq += 1
            // A member without devices has no keys, but finds the message in the mailbox all the same.
            let keys = command.keys(of: member.user.id, at: index) ?? PackedKeys()
            try insertMailbox(keys, of: member.user, message, chat: chat)
            places.append(MailboxPlace(user: member.user.id, seq: member.user.lastMailboxSeq))
        }
        return .sent(
            SentOutcome(chat: chat.id, clientMessageID: command.clientMessageID, message: message, chatSeq: chat.lastSeq, mailboxes: places))
    }

    /// The answer that a retried send got the first time.
    private func firstAnswer(to command: Send, _ device: DeviceState) throws -> SentOutcome {
        let scan = statements.scanBack
        defer { scan.reset() }
        scan.bind(1, command.chat.rawValue)
        scan.bind(2, command.device.rawValue)
        scan.bind(3, command.clientMessageID)
        guard try scan.step(), scan.unsigned(2) == command.clientMessageID else {
            throw Rejection.clientMessageIDUsed(highest: device.highestClientMessageID)
        }
        return SentOutcome(
            chat: command.chat, clientMessageID: command.clientMessageID, message: MessageID(scan.unsigned(1)), chatSeq: scan.unsigned(0),
            mailboxes: [])
    }

    /// The keys must be for exactly the active devices of exactly the members.
    private func checkDevices(of command: Send, in chat: ChatState) throws(Rejection) {
        var differences: [DeviceSetDifference] = []
        for (index, member) in chat.members.enumerated() {
            let given = command.keys(of: member.user.id, at: index)?.devices ?? []
            if given == member.user.devices { continue }
            let active = Set(member.user.devices)
            let missing = active.subtracting(given).sorted()
            let extra = Set(given).subtracting(active).sorted()
            if !missing.isEmpty || !extra.isEmpty {
                differences.append(DeviceSetDifference(user: member.user.id, missing: missing, extra: extra))
            }
        }
        for entry in command.keys where !chat.members.contains(where: { $0.user.id == entry.user }) {
            differences.append(DeviceSetDifference(user: entry.user, missing: [], extra: entry.keys.devices))
        }
        guard differences.isEmpty else { throw .deviceSetMismatch(differences) }
    }

    private func insertMessage(_ command: Send, _ message: MessageID, seq: UInt64) throws {
        let insert = statements.insertMessage
        defer { insert.reset() }
        insert.bind(1, command.chat.rawValue)
        insert.bind(2, seq)
        insert.bind(3, message.rawValue)
        insert.bind(4, command.user.rawValue)
        insert.bind(5, command.device.rawValue)
        insert.bind(6, command.clientMessageID)
        try command.body.withUnsafeReadableBytes {
            insert.bind(7, borrowing: $0)
            _ = try insert.step()
        }
    }

    private func insertMailbox(_ keys: PackedKeys, of user: UserState, _ message: MessageID, chat: ChatState) throws {
        let insert = statements.insertMailbox
        defer { insert.reset() }
        insert.bind(1, user.id.rawValue)
        insert.bind(2, user.lastMailboxSeq)
        insert.bind(3, message.rawValue)
        insert.bind(4, chat.id.rawValue)
        insert.bind(5, chat.lastSeq)
        try keys.bytes.withUnsafeReadableBytes {
            insert.bind(6, borrowing: $0)
            _ = try insert.step()
        }
    }

    func acknowledge(_ command: Acknowledge, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device)
        guard device.user.id == command.user else { throw Rejection.deviceUnknown }
        guard command.mailboxSeq <= device.user.lastMailboxSeq else { throw Rejection.positionUnknown }
        if command.mailboxSeq > device.cursor {
            device.cursor = command.mailboxSeq
            noteChange(of: device)
            device.cursorChanged = true
        }
        var moved: [MovedReceipt] = []
        for position in command.delivered {
            let chat = try chat(position.chat)
            guard let member = chat.members.first(where: { $0.user === device.user }) else { continue }
            let seq = min(position.seq, chat.lastSeq)
            guard seq > member.deliveredSeq else { continue }
            member.deliveredSeq = seq
            moved.append(note(member, of: chat, stamp))
        }
        return .receipts(moved)
    }

    func read(_ user: UserID, _ id: ChatID, upTo seq: UInt64, _ stamp: Stamp) throws -> Outcome {
        let chat = try chat(id)
        guard let member = chat.members.first(where: { $0.user.id == user }) else { throw Rejection.chatUnknown }
        guard seq <= chat.lastSeq else { throw Rejection.positionUnknown }
        guard seq > member.readSeq else { return .receipts([]) }
        member.readSeq = seq
        // What was read was delivered, whatever the acknowledgements say so far.
        member.deliveredSeq = max(member.deliveredSeq, seq)
        return .receipts([note(member, of: chat, stamp)])
    }

    private func note(_ member: MemberState, of chat: ChatState, _ stamp: Stamp) -> MovedReceipt {
        member.version = stamp.rawValue
        if !member.changed {
            member.changed = true
            changedReceipts.append((chat.id, member))
        }
        return MovedReceipt(
            row: ReceiptRow(
                chat: chat.id, user: member.user.id, deliveredSeq: member.deliveredSeq, readSeq: member.readSeq, version: member.version),
            members: chat.members.map(\.user.id))
    }

    /// Call before raising one of the device's changed flags.
    private func noteChange(of device: DeviceState) {
        if !device.cursorChanged, !device.senderChanged { changedDevices.append(device) }
    }
}
