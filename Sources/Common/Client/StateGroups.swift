import RelayModel
import RelaySQLite

/// Groups: their titles, their members with roles, and where this user's stay began and ended.
///
/// The members follow from two sources: a fetched chat, which is true up to its last sequence, and the changes that come in the chat's order.
/// `members_seq` says up to where the stored members take everything into account, so that no change is applied to a list that knows it.
extension ClientState {
    /// What the relay said about a group.
    /// - Parameters:
    ///   - seq: the newest sequence when it said so.
    ///   - left: where this user's stay ended; 0 while it goes on. Of a group that one has left the relay does not say who is in it.
    ///   - asked: ``membersSeq(of:)`` when the relay was asked. When that is still so, an answer that ends earlier was not overtaken: the relay was
    ///     set back, and changes behind it are undone.
    func storeGroup(
        _ chat: ChatID, members: [(user: UserID, role: GroupRole)], at seq: UInt64, joined: UInt64, left: UInt64, asked: UInt64? = nil
    ) throws {
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, chat.rawValue) }
        let known = try membersSeq(of: chat) ?? 0
        guard known <= seq || known == asked else { return }
        try run("UPDATE chats SET kind = ?2, members_seq = ?3, joined_seq = ?4, left_seq = ?5 WHERE id = ?1") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, Int64(ChatKind.group.rawValue))
            $0.bind(3, seq)
            $0.bind(4, joined)
            $0.bind(5, left)
        }
        if left > 0 {
            try removeMe(from: chat)
            return
        }
        let listed = Set(members.map(\.user))
        for former in try memberIDs(of: chat) where !listed.contains(former) { try removeMember(former, from: chat) }
        for member in members {
            try run(
                """
                INSERT INTO members VALUES (?1, ?2, ?3, 0)
                ON CONFLICT (chat_id, user_id) DO UPDATE SET role = ?3, joined_seq = CASE WHEN joined_seq > ?4 THEN 0 ELSE joined_seq END
                """
            ) {
                $0.bind(1, chat.rawValue)
                $0.bind(2, member.user.rawValue)
                $0.bind(3, Int64(member.role.rawValue))
                $0.bind(4, seq)
            }
        }
    }

    /// A change in the chat's order, this user's own or somebody else's. One that the stored members know already changes nothing but the title.
    func apply(_ change: GroupChangeRecord, title: String?, in chat: ChatID, at seq: UInt64, by sender: UserID, me: UserID) throws {
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, chat.rawValue) }
        try run("UPDATE chats SET kind = ?2, title = ifnull(?3, title) WHERE id = ?1") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, Int64(ChatKind.group.rawValue))
            $0.bind(3, title)
        }
        guard try membersSeq(of: chat) ?? 0 < seq else { return }
        switch change.action {
        case .create:
            try insertMember(sender, .owner, into: chat, at: seq)
            for user in change.users where user != sender { try insertMember(user, .member, into: chat, at: seq) }
            try setStay(chat, joined: seq, left: 0)
        case .add:
            for user in change.users { try insertMember(user, .member, into: chat, at: seq) }
            if change.users.contains(me) { try setStay(chat, joined: seq, left: 0) }
        case .remove, .leave:
            for user in change.users { try removeMember(user, from: chat) }
            if change.users.contains(me) {
                try run("UPDATE chats SET left_seq = ?2 WHERE id = ?1") {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, seq)
                }
            }
        case .setRole:
            guard let role = change.role else { break }
            for user in change.users {
                try run("UPDATE members SET role = ?3 WHERE chat_id = ?1 AND user_id = ?2") {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, user.rawValue)
                    $0.bind(3, Int64(role.rawValue))
                }
            }
        case .rename: break
        }
        try run("UPDATE chats SET members_seq = ?2 WHERE id = ?1") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
        }
    }

    private func insertMember(_ user: UserID, _ role: GroupRole, into chat: ChatID, at seq: UInt64) throws {
        try run("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, user.rawValue)
            $0.bind(3, Int64(role.rawValue))
            $0.bind(4, seq)
        }
    }

    private func removeMember(_ user: UserID, from chat: ChatID) throws {
        try run("DELETE FROM members WHERE chat_id = ? AND user_id = ?") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, user.rawValue)
        }
    }

    private func removeMe(from chat: ChatID) throws {
        try run("DELETE FROM members WHERE chat_id = ? AND user_id = (SELECT user_id FROM account)") { $0.bind(1, chat.rawValue) }
    }

    private func setStay(_ chat: ChatID, joined: UInt64, left: UInt64) throws {
        try run("UPDATE chats SET joined_seq = ?2, left_seq = ?3 WHERE id = ?1") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, joined)
            $0.bind(3, left)
        }
    }

    // MARK: Looking

    /// Up to where the stored members take all changes into account; nil for a chat that is not known.
    func membersSeq(of chat: ChatID) throws -> UInt64? {
        try rows("SELECT members_seq FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.unsigned(0) }.first
    }

    func isGroup(_ chat: ChatID) throws -> Bool {
        try rows("SELECT kind FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.integer(0) }.first == Int64(ChatKind.group.rawValue)
    }

    func memberIDs(of chat: ChatID) throws -> [UserID] {
        try rows("SELECT user_id FROM members WHERE chat_id = ? ORDER BY user_id", { $0.bind(1, chat.rawValue) }) { UserID($0.unsigned(0)) }
    }

    func title(of chat: ChatID) throws -> String? {
        try rows("SELECT title FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.text(0) }.first ?? nil
    }

    /// What a person calls the chat: the other member's name, or the title.
    func label(of chat: ChatID) throws -> String? {
        try rows("SELECT \(ClientState.chatLabel) FROM chats c WHERE c.id = ?", { $0.bind(1, chat.rawValue) }) { $0.text(0) }.first ?? nil
    }

    /// The relay keeps to itself who follows when the last owner goes: it must be asked.
    func lacksAnOwner(_ chat: ChatID) throws -> Bool {
        let stay = try rows("SELECT kind, left_seq FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { ($0.integer(0), $0.integer(1)) }.first
        guard let (kind, left) = stay, kind == Int64(ChatKind.group.rawValue), left == 0 else { return false }
        return try rows(
            "SELECT 1 FROM members WHERE chat_id = ? AND role = ? LIMIT 1",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, Int64(GroupRole.owner.rawValue))
            }
        ) { _ in true }.isEmpty
    }

    /// Groups of this user in which nobody is known to be owner: a session that ended too soon did not hear who follows.
    func groupsLackingAnOwner() throws -> [ChatID] {
        try rows(
            """
            SELECT id FROM chats c WHERE kind = ?1 AND left_seq = 0
                AND NOT EXISTS (SELECT 1 FROM members m WHERE m.chat_id = c.id AND m.role = ?2)
            """,
            {
                $0.bind(1, Int64(ChatKind.group.rawValue))
                $0.bind(2, Int64(GroupRole.owner.rawValue))
            }
        ) { ChatID($0.unsigned(0)) }
    }

    func isFormer(_ chat: ChatID) throws -> Bool {
        try rows("SELECT left_seq FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.integer(0) > 0 }.first ?? false
    }

    /// The user's own notes, which carry deletions only.
    func markNotes(_ chat: ChatID) throws {
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, chat.rawValue) }
        try run("UPDATE chats SET kind = ?2 WHERE id = ?1") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, Int64(ChatKind.notes.rawValue))
        }
    }

    /// All groups that this device knows, former ones included.
    package func groups() throws(ClientError) -> [GroupRecord] { try storing { try groups(where: "1", { _ in }) } }

    package func group(_ chat: ChatID) throws(ClientError) -> GroupRecord? {
        try storing { try groups(where: "c.id = ?1", { $0.bind(1, chat.rawValue) }).first }
    }

    /// Groups of this title, those first whose stay goes on.
    package func groups(titled title: String) throws(ClientError) -> [GroupRecord] {
        try storing { try groups(where: "c.title = ?1", { $0.bind(1, title) }) }
    }

    private func groups(where condition: String, _ bind: (Statement) -> Void) throws -> [GroupRecord] {
        try rows(
            """
            SELECT c.id, c.title, (SELECT m.role FROM members m WHERE m.chat_id = c.id AND m.user_id = (SELECT user_id FROM account)),
                (SELECT count(*) FROM members m WHERE m.chat_id = c.id), c.joined_seq, c.left_seq
            FROM chats c WHERE c.kind = 1 AND \(condition) ORDER BY c.left_seq > 0, c.id
            """, bind
        ) {
            GroupRecord(
                chat: ChatID($0.unsigned(0)), title: $0.text(1),
                role: $0.isNull(2) ? nil : GroupRole(rawValue: UInt8(clamping: $0.integer(2))), memberCount: Int($0.integer(3)),
                joinedSeq: $0.unsigned(4), leftSeq: $0.unsigned(5))
        }
    }

    /// The members by name; of a group that this user has left those of that time.
    package func members(of chat: ChatID) throws(ClientError) -> [GroupMemberRecord] {
        try storing {
            try rows(
                "SELECT m.user_id, u.name, m.role FROM members m LEFT JOIN users u ON u.id = m.user_id WHERE m.chat_id = ? ORDER BY u.name, m.user_id",
                { $0.bind(1, chat.rawValue) }
            ) {
                GroupMemberRecord(
                    user: UserID($0.unsigned(0)), name: $0.text(1), role: GroupRole(rawValue: UInt8(clamping: $0.integer(2))) ?? .member)
            }
        }
    }

    /// A member of a chat by name.
    func member(named name: String, of chat: ChatID) throws -> UserID? {
        try rows(
            "SELECT u.id FROM members m JOIN users u ON u.id = m.user_id WHERE m.chat_id = ? AND u.name = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, name)
            }
        ) { UserID($0.unsigned(0)) }.first
    }

    // MARK: Finding a chat by what a person calls it

    /// A group by its title or number; one that this user is still in before a former one.
    /// - Throws: ``ClientError/groupUnknown(_:)``, ``ClientError/ambiguousGroup(title:_:)``.
    package func findGroup(_ text: String) throws(ClientError) -> GroupTarget {
        let titled = try groups(titled: text)
        let current = titled.filter { $0.leftSeq == 0 }
        let candidates = current.isEmpty ? titled : current
        if candidates.count > 1 { throw .ambiguousGroup(title: text, candidates.map(\.chat)) }
        if let unborn = try storing({ try unbornGroup(titled: text) }) {
            guard let found = current.first else { return .unborn(unborn) }
            throw .ambiguousGroup(title: text, [found.chat])
        }
        if let found = candidates.first { return .chat(found.chat) }
        if let id = ChatID(text), let found = try group(id) { return .chat(found.chat) }
        throw .groupUnknown(text)
    }

    /// The group that a recipient's name may mean; nil when it is a user's, or nobody's that is known here.
    /// - Throws: ``ClientError/ambiguousGroup(title:_:)``, and ``ClientError/request(_:hint:)`` when a user has the name that is a group's title.
    package func groupForRecipient(_ text: String) throws(ClientError) -> GroupTarget? {
        let target: GroupTarget
        do throws(ClientError) { target = try findGroup(text) } catch {
            if case .groupUnknown = error { return nil }
            throw error
        }
        let name: String? = (try? UserName(text))?.text
        guard let name, try storing({ try rows("SELECT 1 FROM users WHERE name = ?", { $0.bind(1, name) }) { _ in true }.first }) != nil else {
            return target
        }
        throw .request("“\(text)” is the name of a user and of a group", hint: "use --user for the user, --group for the group")
    }

    /// A chat by its number, the other member's name, or the group's title.
    package func findChat(_ text: String) throws(ClientError) -> ChatID {
        if let id = ChatID(text),
            try storing({ try rows("SELECT 1 FROM chats WHERE id = ?", { $0.bind(1, id.rawValue) }) { _ in true }.first }) != nil
        {
            return id
        }
        let name: String? = (try? UserName(text))?.text
        let direct: ChatID? = if let name { try chat(with: name) } else { nil }
        let groups = try groups(titled: text)
        switch (direct, groups.count) {
        case (let chat?, 0): return chat
        case (nil, 1): return groups[0].chat
        case (nil, 0): throw .chatUnknown(text)
        default: throw .ambiguousGroup(title: text, (direct.map { [$0] } ?? []) + groups.map(\.chat))
        }
    }
}
