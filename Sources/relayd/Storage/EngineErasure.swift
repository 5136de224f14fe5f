import RelayModel
import RelaySQLite

// Users who are erased: after a time of grace, in steps that a crash does not lose.
extension SQLiteEngine {
    func eraseUser(_ command: EraseUser, _ stamp: Stamp) throws -> Outcome {
        let state = try presentUser(command.user)
        guard try reader.erasureFingerprint(of: command.user, grace: command.graceMilliseconds) == command.fingerprint else {
            throw Rejection.planOutdated
        }
        let due = stamp.time + .milliseconds(command.graceMilliseconds)
        try erasureStatements.ask.run {
            $0.bind(1, command.user.rawValue)
            $0.bind(2, stamp.time.milliseconds)
            $0.bind(3, due.milliseconds)
            $0.bind(4, Int64(command.uid))
        }
        state.suspended = true
        guard command.graceMilliseconds <= 0 else { return .erasureAsked(due) }
        return .userGone(try begin(state, stamp))
    }

    func beginErasure(_ id: UserID, _ stamp: Stamp) throws -> Outcome {
        guard let erasure = try erasure(of: id), erasure.began == 0 else { throw Rejection.erasureUnknown }
        guard erasure.due <= stamp.time.milliseconds else { throw Rejection.erasurePending(until: Timestamp(milliseconds: erasure.due)) }
        return .userGone(try begin(try presentUser(id), stamp))
    }

    func cancelErasure(_ id: UserID) throws -> Outcome {
        guard let erasure = try erasure(of: id), erasure.began == 0 else { throw Rejection.erasureUnknown }
        let state = try presentUser(id)
        try erasureStatements.forget.run { $0.bind(1, id.rawValue) }
        // Who was suspended before still is.
        state.suspended = try one("SELECT suspended != 0 FROM users WHERE user_id = ?", id) != 0
        return .erasureCancelled(suspended: state.suspended)
    }

    private func one(_ sql: String, _ user: UserID) throws -> Int64 {
        try reader.rows(sql, bind: { $0.bind(1, user.rawValue) }) { $0.integer(0) }.first ?? 0
    }

    func checkNoErasure(of user: UserID) throws {
        guard let erasure = try erasure(of: user) else { return }
        throw Rejection.erasurePending(until: Timestamp(milliseconds: erasure.due))
    }

    private func begin(_ state: UserState, _ stamp: Stamp) throws -> UserGone {
        // What counts must be on the disk, and nothing of it may be written later.
        try writeChanges()
        try erasureStatements.begin.run {
            $0.bind(1, state.id.rawValue)
            $0.bind(2, stamp.rawValue)
        }
        for (part, sql) in Reader.erasureCounts {
            try note(Int(try one(sql, state.id)), of: part, state.id)
        }
        let gone = try remove(state, erasing: true, stamp)
        try erasureStatements.emptyUser.run { $0.bind(1, state.id.rawValue) }
        try note(1, of: .users, state.id)
        return gone
    }

    /// Deletes a user's contacts from both sides. The others get their whole list the next time they ask what changed, which takes no row that says with
    /// whom they had to do.
    func eraseContacts(of user: UserID, _ stamp: Stamp) throws -> [ContactChange] {
        let list = statements.listContacts
        list.bind(1, user.rawValue)
        var peers: [UserID] = []
        while try list.step() { peers.append(UserID(list.unsigned(0))) }
        list.reset()
        var count = peers.count
        for peer in peers { count += try eraseContact(of: peer, with: user, stamp) }
        try statements.deleteContacts.run { $0.bind(1, user.rawValue) }
        try note(count, of: .contacts, user)
        return peers.map { peer in
            ContactChange(user: peer, row: ContactRow(peer: user, state: .none, category: "", version: stamp.rawValue))
        }
    }

    private func eraseContact(of peer: UserID, with user: UserID, _ stamp: Stamp) throws -> Int {
        try erasureStatements.deleteContact.run {
            $0.bind(1, peer.rawValue)
            $0.bind(2, user.rawValue)
        }
        let count = database.changes
        try statements.raiseContactsFloor.run {
            $0.bind(1, peer.rawValue)
            $0.bind(2, stamp.rawValue)
        }
        return count
    }

    // MARK: Steps

    /// A row of `erasures`.
    struct Erasure {
        var user: UserID
        var uid: UInt32
        var due: Int64
        var began: UInt64
        var name: String?
        var displayName: String?
        var step: ErasureStep
        /// How far the step is.
        var first: UInt64
        var second: UInt64
    }

    func erasure(of user: UserID) throws(SQLiteError) -> Erasure? {
        let load = erasureStatements.load
        defer { load.reset() }
        load.bind(1, user.rawValue)
        guard try load.step() else { return nil }
        return Erasure(
            user: user, uid: UInt32(truncatingIfNeeded: load.integer(0)), due: load.integer(1), began: load.unsigned(2), name: load.text(3),
            displayName: load.text(4), step: ErasureStep(rawValue: load.integer(5)) ?? .audit, first: load.unsigned(6), second: load.unsigned(7))
    }

    /// Does up to about `limit` rows of what is next; steps that find nothing are passed over at once.
    func clear(_ stored: Erasure, _ user: UserState, limit: Int, _ stamp: Stamp) throws -> Outcome {
        var erasure = stored
        // What the batch has in memory about the user's chats must not be written after it is erased.
        try writeChanges()
        while erasure.step != .done {
            if let outcome = try run(&erasure, user, limit: limit, stamp) {
                try write(erasure)
                return outcome
            }
            erasure.step = ErasureStep(rawValue: erasure.step.rawValue + 1) ?? .done
            erasure.first = 0
            erasure.second = 0
        }
        try write(erasure)
        return .removed(rows: 0, remaining: false, nil)
    }

    private func write(_ erasure: Erasure) throws(SQLiteError) {
        try erasureStatements.advance.run {
            $0.bind(1, erasure.user.rawValue)
            $0.bind(2, erasure.name)
            $0.bind(3, erasure.displayName)
            $0.bind(4, erasure.step.rawValue)
            $0.bind(5, erasure.first)
            $0.bind(6, erasure.second)
        }
    }

    /// Nil when the step has nothing (more) to do.
    private func run(_ erasure: inout Erasure, _ user: UserState, limit: Int, _ stamp: Stamp) throws -> Outcome? {
        func removed(_ rows: Int, _ part: ErasedPart) throws -> Outcome {
            try note(rows, of: part, user.id)
            return .removed(rows: rows, remaining: true, nil)
        }
        switch erasure.step {
        case .audit:
            guard let changed = try renameAudit(&erasure, limit: limit) else {
                erasure.name = nil
                erasure.displayName = nil
                return nil
            }
            return try removed(changed, .audit)
        case .groups:
            guard let chat = try first(statements.findGroupOfUser, of: user.id) else { return nil }
            guard let publication = try leave(user.id, try self.chat(chat), stamp) else { throw Rejection.chatUnknown }
            return .removed(rows: 1, remaining: true, publication)
        case .desertedMessages:
            guard let chat = try first(statements.findDeserted, of: user.id) else { return nil }
            try erasureStatements.deleteHiddenOfChat.run { $0.bind(1, chat.rawValue) }
            try note(database.changes, of: .hidden, user.id)
            return try removed(try expireMessages(of: chat, upTo: .max, limit: limit), .messages)
        case .desertedChats:
            guard let chat = try first(erasureStatements.findDesertedChat, of: user.id) else { return nil }
            return try removed(try deleteChat(chat, of: user.id), .chats)
        case .wrappedKeys:
            guard let changed = try unwrap(&erasure, limit: limit) else { return nil }
            return try removed(changed, .wrappedKeys)
        case .forgottenContacts:
            guard let changed = try eraseForgotten(&erasure, stamp) else {
                try erasureStatements.clearFloor.run { $0.bind(1, user.id.rawValue) }
                return nil
            }
            return try removed(changed, .contacts)
        case .hidden:
            try erasureStatements.deleteHidden.run {
                $0.bind(1, user.id.rawValue)
                $0.bind(2, limit)
            }
            return database.changes == 0 ? nil : try removed(database.changes, .hidden)
        case .stays:
            guard try endStays(&erasure, limit: limit) else { return nil }
            return .removed(rows: 1, remaining: true, nil)
        case .devices:
            let count = try deleteDevices(of: user.id, limit: limit)
            return count == 0 ? nil : try removed(count, .devices)
        case .done: return nil
        }
    }

    /// The name in entries since the user was added: before, it was somebody else's.
    private func renameAudit(_ erasure: inout Erasure, limit: Int) throws -> Int? {
        guard let name = erasure.name else { return nil }
        let devices = Set(
            try reader.rows("SELECT device_id FROM devices WHERE user_id = ?", bind: { [user = erasure.user] in $0.bind(1, user.rawValue) }) {
                DeviceID($0.unsigned(0)).description
            })
        let list = erasureStatements.listAudit
        list.bind(1, max(erasure.first, erasure.user.rawValue - 1))
        list.bind(2, erasure.began)
        list.bind(3, limit)
        var last: UInt64?
        var changed: [(UInt64, AuditText)] = []
        while try list.step() {
            last = list.unsigned(0)
            let entry = AuditText(operation: list.text(1) ?? "", subject: list.text(2) ?? "", reason: list.text(3))
            guard let rest = entry.without(name, displayName: erasure.displayName, erasure.user, devices: devices) else { continue }
            changed.append((list.unsigned(0), rest))
        }
        list.reset()
        guard let last else { return nil }
        erasure.first = last
        for (stamp, entry) in changed {
            try erasureStatements.writeAudit.run {
                $0.bind(1, stamp)
                $0.bind(2, entry.subject)
                $0.bind(3, entry.reason)
            }
        }
        return changed.count
    }

    /// A chat that nobody can read any more, with what is left of it.
    private func deleteChat(_ chat: ChatID, of user: UserID) throws -> Int {
        for (part, statement) in [
            (ErasedPart.hidden, erasureStatements.deleteHiddenOfChat), (.receipts, erasureStatements.deleteReceiptsOfChat),
            (.members, erasureStatements.deleteMembersOfChat), (.chats, erasureStatements.deleteChat),
        ] {
            try statement.run { $0.bind(1, chat.rawValue) }
            if part != .chats { try note(database.changes, of: part, user) }
        }
        let count = database.changes
        chats[chat] = nil
        return count
    }

    /// Takes the user's keys out of messages that others can still read.
    private func unwrap(_ erasure: inout Erasure, limit: Int) throws -> Int? {
        let place = erasure.first == 0 ? nil : ChatPosition(chat: ChatID(erasure.first), seq: erasure.second)
        guard let stay = try reader.erasureStay(of: erasure.user, after: place) else { return nil }
        let list = erasureStatements.listKeys
        list.bind(1, stay.chat.rawValue)
        list.bind(2, stay.first)
        list.bind(3, stay.last)
        list.bind(4, limit)
        var rows: [(seq: UInt64, message: UInt64, keys: [UInt8]?)] = []
        var bytes = 0
        // A message is written anew, its body included.
        while bytes < Limits.erasureStepBytes, try list.step() {
            let keys = list.withBytes(2) { MemberKeyList.without(erasure.user, in: $0) }
            rows.append((list.unsigned(0), list.unsigned(1), keys))
            bytes += Int(list.integer(3))
        }
        list.reset()
        var changed = 0
        for row in rows {
            if let keys = row.keys {
                try erasureStatements.writeKeys.run {
                    $0.bind(1, row.message)
                    $0.bind(2, keys)
                }
                changed += 1
            } else if try unwrapBlock(of: erasure.user, in: stay.chat, row.seq) {
                changed += 1
            }
        }
        erasure.first = stay.chat.rawValue
        erasure.second = bytes < Limits.erasureStepBytes && rows.count < limit ? stay.last : rows.last?.seq ?? stay.last
        return changed
    }

    /// The same for the keys of a large group, which stand in rows of their own.
    private func unwrapBlock(of user: UserID, in chat: ChatID, _ seq: UInt64) throws(SQLiteError) -> Bool {
        let find = erasureStatements.findBlock
        find.bind(1, chat.rawValue)
        find.bind(2, seq)
        find.bind(3, user.rawValue)
        let found = try find.step() ? (first: find.unsigned(0), rest: find.withBytes(1) { MemberKeyList.without(user, in: $0) }) : nil
        find.reset()
        guard let found, let rest = found.rest else { return false }
        try erasureStatements.deleteBlock.run {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
            $0.bind(3, found.first)
        }
        // A row is found by its first member, or by one before.
        guard let first = MemberKeyList.first(in: rest) else { return true }
        try statements.insertKeys.run {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
            $0.bind(3, first.rawValue)
            $0.bind(4, rest)
        }
        return true
    }

    /// Beyond a number of ended contacts a user's own list forgets them, the other side's not: they are found by looking at everybody's.
    private func eraseForgotten(_ erasure: inout Erasure, _ stamp: Stamp) throws -> Int? {
        guard try one("SELECT contacts_floor FROM users WHERE user_id = ?", erasure.user) != 0 else { return nil }
        let list = erasureStatements.listContacts
        list.bind(1, erasure.first)
        list.bind(2, erasure.second)
        list.bind(3, Limits.blockScanRows)
        var last: (UInt64, UInt64)?
        var peers: [UserID] = []
        while try list.step() {
            last = (list.unsigned(0), list.unsigned(1))
            if list.unsigned(1) == erasure.user.rawValue { peers.append(UserID(list.unsigned(0))) }
        }
        list.reset()
        guard let last else { return nil }
        (erasure.first, erasure.second) = last
        var count = 0
        for peer in peers { count += try eraseContact(of: peer, with: erasure.user, stamp) }
        return count
    }

    /// The user's marks in chats, and the stays in groups. That a direct chat is with this number is the other one's to know.
    /// - Returns: false at the end.
    private func endStays(_ erasure: inout Erasure, limit: Int) throws -> Bool {
        let list = erasureStatements.listChats
        list.bind(1, erasure.user.rawValue)
        list.bind(2, erasure.first)
        list.bind(3, limit)
        var found: [(chat: ChatID, isGroup: Bool)] = []
        while try list.step() { found.append((ChatID(list.unsigned(0)), list.integer(1) == Int64(ChatKind.group.rawValue))) }
        list.reset()
        guard let last = found.last else { return false }
        erasure.first = last.chat.rawValue
        for (chat, isGroup) in found {
            for (part, statement) in [(ErasedPart.receipts, erasureStatements.deleteReceipt), (.members, erasureStatements.deleteMember)] {
                guard isGroup || part == .receipts else { continue }
                try statement.run {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, erasure.user.rawValue)
                }
                try note(database.changes, of: part, erasure.user)
            }
            chats[chat] = nil
        }
        return true
    }

    private func deleteDevices(of user: UserID, limit: Int) throws -> Int {
        let list = erasureStatements.listDevices
        list.bind(1, user.rawValue)
        list.bind(2, limit)
        var found: [DeviceID] = []
        while try list.step() { found.append(DeviceID(list.unsigned(0))) }
        list.reset()
        for device in found {
            try deletePrekeys(of: device)
            try erasureStatements.deleteDevice.run { $0.bind(1, device.rawValue) }
            devices[device] = nil
        }
        return found.count
    }

    /// - Throws: `Rejection.erasureUnknown` for one that is not done.
    func finishErasure(_ id: UserID, _ stamp: Stamp) throws -> Outcome {
        guard let erasure = try erasure(of: id), erasure.began != 0, erasure.step == .done else { throw Rejection.erasureUnknown }
        let rows = try reader.erasedRows(of: id)
        let text = ErasedPart.allCases.compactMap { part in rows[part].flatMap { $0 > 0 ? "\(part.rawValue) \($0)" : nil } }.joined(separator: ", ")
        try audit(Actor(uid: erasure.uid, operation: "relayd/erase", subject: ErasedName.mark(id), reason: text, salt: []), at: stamp)
        try statements.finishUser.run { $0.bind(1, id.rawValue) }
        for statement in [erasureStatements.forget, erasureStatements.forgetRows] { try statement.run { $0.bind(1, id.rawValue) } }
        return .done
    }

    private func note(_ rows: Int, of part: ErasedPart, _ user: UserID) throws(SQLiteError) {
        guard rows > 0 else { return }
        try erasureStatements.count.run {
            $0.bind(1, user.rawValue)
            $0.bind(2, part.rawValue)
            $0.bind(3, rows)
        }
    }
}

/// The writer's statements about erasures, prepared once.
struct ErasureStatements {
    let load: Statement
    let ask: Statement
    let begin: Statement
    let advance: Statement
    let forget: Statement
    let forgetRows: Statement
    let count: Statement
    let emptyUser: Statement
    let clearFloor: Statement
    let deleteContact: Statement
    let listContacts: Statement
    let listAudit: Statement
    let writeAudit: Statement
    let findDesertedChat: Statement
    let deleteChat: Statement
    let deleteMembersOfChat: Statement
    let deleteReceiptsOfChat: Statement
    let deleteHiddenOfChat: Statement
    let listKeys: Statement
    let writeKeys: Statement
    let findBlock: Statement
    let deleteBlock: Statement
    let deleteHidden: Statement
    let listChats: Statement
    let deleteReceipt: Statement
    let deleteMember: Statement
    let listDevices: Statement
    let deleteDevice: Statement

    init(_ database: Database) throws(SQLiteError) {
        load = try database.prepare("SELECT uid, due_ms, began, name, display_name, step, first, second FROM erasures WHERE user_id = ?")
        ask = try database.prepare(
            """
            INSERT INTO erasures (user_id, asked_ms, due_ms, uid) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET asked_ms = excluded.asked_ms, due_ms = excluded.due_ms, uid = excluded.uid
            """)
        begin = try database.prepare(
            """
            UPDATE erasures SET began = ?2, name = (SELECT name FROM users WHERE user_id = ?1),
                display_name = (SELECT display_name FROM users WHERE user_id = ?1) WHERE user_id = ?1
            """)
        advance = try database.prepare(
            "UPDATE erasures SET name = ?2, display_name = ?3, step = ?4, first = ?5, second = ?6 WHERE user_id = ?1")
        forget = try database.prepare("DELETE FROM erasures WHERE user_id = ?")
        forgetRows = try database.prepare("DELETE FROM erased_rows WHERE user_id = ?")
        count = try database.prepare(
            "INSERT INTO erased_rows (user_id, part, rows) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET rows = rows + excluded.rows")
        emptyUser = try database.prepare(
            "UPDATE users SET no_limits = 0, keys_version = 0 WHERE user_id = ?")
        clearFloor = try database.prepare("UPDATE users SET contacts_floor = 0 WHERE user_id = ?")
        deleteContact = try database.prepare("DELETE FROM contacts WHERE user_id = ? AND peer_id = ?")
        listContacts = try database.prepare(
            "SELECT user_id, peer_id FROM contacts WHERE (user_id, peer_id) > (?1, ?2) ORDER BY user_id, peer_id LIMIT ?3")
        listAudit = try database.prepare(
            "SELECT stamp, operation, subject, reason FROM audit WHERE stamp > ?1 AND stamp <= ?2 ORDER BY stamp LIMIT ?3")
        writeAudit = try database.prepare("UPDATE audit SET subject = ?2, reason = ?3, salt = NULL WHERE stamp = ?1")
        findDesertedChat = try database.prepare(
            """
            SELECT s.chat_id FROM members s WHERE s.user_id = ?
                AND NOT EXISTS (SELECT 1 FROM members o JOIN users u USING (user_id) WHERE o.chat_id = s.chat_id AND u.removed = 0) LIMIT 1
            """)
        deleteChat = try database.prepare("DELETE FROM chats WHERE chat_id = ?")
        deleteMembersOfChat = try database.prepare("DELETE FROM members WHERE chat_id = ?")
        deleteReceiptsOfChat = try database.prepare("DELETE FROM receipts WHERE chat_id = ?")
        deleteHiddenOfChat = try database.prepare(
            "DELETE FROM hidden WHERE chat_id = ?1 AND user_id IN (SELECT user_id FROM members WHERE chat_id = ?1)")
        listKeys = try database.prepare(
            """
            SELECT seq, message_id, keys, length(body) FROM messages WHERE chat_id = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT ?4
            """)
        writeKeys = try database.prepare("UPDATE messages SET keys = ?2 WHERE message_id = ?1")
        findBlock = try database.prepare(
            "SELECT first_user_id, keys FROM message_keys WHERE chat_id = ? AND seq = ? AND first_user_id <= ? ORDER BY first_user_id DESC LIMIT 1")
        deleteBlock = try database.prepare("DELETE FROM message_keys WHERE chat_id = ? AND seq = ? AND first_user_id = ?")
        deleteHidden = try database.prepare(
            "DELETE FROM hidden WHERE user_id = ?1 AND (chat_id, seq) IN (SELECT chat_id, seq FROM hidden WHERE user_id = ?1 LIMIT ?2)")
        listChats = try database.prepare(
            """
            SELECT DISTINCT s.chat_id, c.kind FROM members s JOIN chats c USING (chat_id) WHERE s.user_id = ?1 AND s.chat_id > ?2
            ORDER BY s.chat_id LIMIT ?3
            """)
        deleteReceipt = try database.prepare("DELETE FROM receipts WHERE chat_id = ? AND user_id = ?")
        deleteMember = try database.prepare("DELETE FROM members WHERE chat_id = ? AND user_id = ?")
        listDevices = try database.prepare("SELECT device_id FROM devices WHERE user_id = ? ORDER BY device_id LIMIT ?")
        deleteDevice = try database.prepare("DELETE FROM devices WHERE device_id = ?")
    }
}
