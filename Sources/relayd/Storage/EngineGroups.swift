import NIOCore
import RelayModel
import RelaySQLite

// Groups: every change of members takes a place in the chat's order, so a send is wholly before it or wholly after it.
extension SQLiteEngine {
    func changeGroup(_ command: ChangeGroup, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device, of: command.user)
        if command.clientMessageID <= device.highestClientMessageID { return try firstAnswer(to: command, device) }
        try checkNotSuspended(device)
        guard let id = command.chat else { return .sent(try createGroup(command, device, stamp)) }
        let chat = try chat(id)
        guard let caller = chat.member(command.user) else { throw Rejection.chatUnknown }
        guard chat.kind == .group else { throw Rejection.notAGroup }
        let change = try check(command, by: caller, in: chat)
        let after = SQLiteEngine.members(of: chat, after: change)
        let keys = command.body.readableBytes == 0 && command.keys.isEmpty ? [] : try fit(command.keys, to: after, at: stamp.time)
        // Who leaves hears of it too.
        let audience = change.leaving.isEmpty && change.joining.isEmpty ? chat.memberIDs : (chat.memberIDs + change.joining.map(\.id)).sorted()
        try apply(change, to: chat, stamp)
        let event = GroupEvent(action: command.action, users: change.named, role: change.role)
        let new = NewMessage(
            user: command.user, device: device, clientMessageID: command.clientMessageID, extra: .group(event), body: command.body, keys: keys)
        return .sent(try append(new, to: chat, audience: audience, stamp))
    }

    private func firstAnswer(to command: ChangeGroup, _ device: DeviceState) throws -> Outcome {
        if let chat = command.chat { return try firstAnswer(in: chat, command.clientMessageID, device) }
        let find = statements.findCreated
        defer { find.reset() }
        find.bind(1, command.user.rawValue)
        find.bind(2, command.device.rawValue)
        find.bind(3, command.clientMessageID)
        guard try find.step() else { throw Rejection.clientMessageIDUsed(highest: device.highestClientMessageID) }
        return .sent(
            SentOutcome(
                chat: ChatID(find.unsigned(0)), clientMessageID: command.clientMessageID, message: MessageID(find.unsigned(2)),
                chatSeq: find.unsigned(1)))
    }

    private func createGroup(_ command: ChangeGroup, _ device: DeviceState, _ stamp: Stamp) throws -> SentOutcome {
        guard command.action == .create, command.body.readableBytes == 0, command.keys.isEmpty, command.role == nil,
            !command.users.contains(command.user)
        else { throw Rejection.changeInvalid }
        guard command.users.count < Limits.chatMembers else { throw Rejection.groupFull(limit: Limits.chatMembers) }
        let users = try (command.users + [command.user]).sorted().map { try presentUser($0) }
        for user in users { try checkChatCount(of: user) }
        if let caller = users.first(where: { $0.id == command.user }) { try checkNewcomers(users, by: caller, members: users.map(\.id)) }
        let chat = try makeChat(.group, users, stamp)
        try setRole(.owner, of: command.user, in: chat)
        let event = GroupEvent(action: .create, users: command.users, role: nil)
        let new = NewMessage(
            user: command.user, device: device, clientMessageID: command.clientMessageID, extra: .group(event), body: ByteBuffer(), keys: [])
        return try append(new, to: chat, audience: chat.memberIDs, stamp)
    }

    /// A change that may happen.
    private struct GroupChange {
        var joining: [UserState] = []
        var leaving: [MemberState] = []
        /// New roles; the successor of the last owner among them.
        var roles: [(MemberState, GroupRole)] = []
        /// What the event says.
        var named: [UserID]
        var role: GroupRole?
    }

    private func check(_ command: ChangeGroup, by caller: MemberState, in chat: ChatState) throws -> GroupChange {
        func allow(_ role: GroupRole) throws(Rejection) { if caller.role < role { throw .notPermitted } }
        func named() throws(Rejection) -> [MemberState] {
            var members: [MemberState] = []
            for user in command.users {
                guard let member = chat.member(user) else { throw .memberUnknown }
                members.append(member)
            }
            return members
        }
        let takesUsers = [.add, .remove, .setRole].contains(command.action)
        guard command.users.isEmpty != takesUsers, (command.role != nil) == (command.action == .setRole) else { throw Rejection.changeInvalid }
        var change = GroupChange(named: command.users, role: command.role)
        switch command.action {
        case .create: throw Rejection.changeInvalid
        case .add:
            try allow(.admin)
            guard command.users.allSatisfy({ chat.member($0) == nil }) else { throw Rejection.alreadyMember }
            guard chat.members.count + command.users.count <= Limits.chatMembers else { throw Rejection.groupFull(limit: Limits.chatMembers) }
            change.joining = try command.users.map { try presentUser($0) }
            for user in change.joining { try checkChatCount(of: user) }
            try checkNewcomers(change.joining, by: caller.user, members: chat.memberIDs + change.joining.map(\.id))
        case .remove:
            try allow(.admin)
            change.leaving = try named()
            guard change.leaving.allSatisfy({ $0.role < caller.role || caller.role == .owner }) else { throw Rejection.notPermitted }
            // Leaving is another thing: it needs no role.
            guard !command.users.contains(command.user) else { throw Rejection.changeInvalid }
        case .leave:
            change.named = [command.user]
            change.leaving = [caller]
        case .rename:
            try allow(.admin)
            guard command.body.readableBytes > 0 else { throw Rejection.changeInvalid }
        case .setRole:
            try allow(.owner)
            guard let role = command.role else { throw Rejection.changeInvalid }
            change.roles = try named().map { ($0, role) }
        }
        addSuccessor(to: &change, in: chat)
        return change
    }

    /// A group is never without an owner: when the last one goes or steps down, the admin who has been there longest follows, or else the member.
    private func addSuccessor(to change: inout GroupChange, in chat: ChatState) {
        guard !change.leaving.isEmpty || !change.roles.isEmpty else { return }
        let leaving = Set(change.leaving.map(\.user.id))
        let roles = Dictionary(change.roles.map { ($0.0.user.id, $0.1) }, uniquingKeysWith: { _, last in last })
        let staying = chat.members.filter { !leaving.contains($0.user.id) }
        func role(_ member: MemberState) -> GroupRole { roles[member.user.id] ?? member.role }
        guard !staying.contains(where: { role($0) == .owner }) else { return }
        // Who steps down follows only when nobody else is there.
        let others = staying.filter { roles[$0.user.id] == nil || $0.role != .owner }
        let successor = (others.isEmpty ? staying : others).min {
            (role($1).rawValue, $0.joinedSeq, $0.user.id) < (role($0).rawValue, $1.joinedSeq, $1.user.id)
        }
        if let successor { change.roles.append((successor, .owner)) }
    }

    private static func members(of chat: ChatState, after change: GroupChange) -> [MemberState] {
        guard !change.joining.isEmpty || !change.leaving.isEmpty else { return chat.members }
        let leaving = Set(change.leaving.map(\.user.id))
        let joining = change.joining.map { MemberState(user: $0, role: .member, joinedSeq: chat.lastSeq + 1) }
        return (chat.members.filter { !leaving.contains($0.user.id) } + joining).sorted { $0.user.id < $1.user.id }
    }

    private func apply(_ change: GroupChange, to chat: ChatState, _ stamp: Stamp) throws {
        for (member, role) in change.roles { try setRole(role, of: member.user.id, in: chat) }
        for member in change.leaving {
            chat.remove(member.user.id)
            try statements.endMembership.run {
                $0.bind(1, chat.id.rawValue)
                $0.bind(2, member.user.id.rawValue)
                // The last envelope is the one that says so.
                $0.bind(3, chat.lastSeq + 1)
                $0.bind(4, stamp.rawValue)
            }
        }
        // Who comes back finds the marks of the former stay, which may be among the changes that are not written yet.
        if !change.joining.isEmpty { try writeChanges() }
        for user in change.joining {
            try insertMember(user, into: chat, role: .member, stamp)
            try loadReceipt(of: user.id, in: chat)
        }
        guard !change.leaving.isEmpty || !change.joining.isEmpty else { return }
        try statements.writeMemberCount.run {
            $0.bind(1, chat.id.rawValue)
            $0.bind(2, chat.members.count)
        }
    }

    private func setRole(_ role: GroupRole, of user: UserID, in chat: ChatState) throws {
        chat.member(user)?.role = role
        try statements.writeRole.run {
            $0.bind(1, chat.id.rawValue)
            $0.bind(2, user.rawValue)
            $0.bind(3, Int64(role.rawValue))
        }
    }

    private func loadReceipt(of user: UserID, in chat: ChatState) throws(SQLiteError) {
        let load = statements.loadReceipt
        defer { load.reset() }
        load.bind(1, chat.id.rawValue)
        load.bind(2, user.rawValue)
        guard let member = chat.member(user), try load.step() else { return }
        member.deliveredSeq = load.unsigned(0)
        member.readSeq = load.unsigned(1)
        member.version = load.unsigned(2)
    }

    /// Takes a user out of a group without a device of theirs: they are removed, or have blocked somebody who is in it. Nil when they are not in it.
    func leave(_ id: UserID, _ chat: ChatState, _ stamp: Stamp) throws -> Publication? {
        guard let member = chat.member(id) else { return nil }
        var change = GroupChange(leaving: [member], named: [id])
        addSuccessor(to: &change, in: chat)
        // A user who is still here sees it in the group's own order, too.
        let audience = member.user.removed ? chat.memberIDs.filter { $0 != id } : chat.memberIDs
        try apply(change, to: chat, stamp)
        let event = NewMessage(
            user: id, device: nil, clientMessageID: 0, extra: .group(GroupEvent(action: .leave, users: [id], role: nil)), body: ByteBuffer(),
            keys: [])
        return try append(event, to: chat, audience: audience, stamp).publication
    }

    // MARK: Removed users

    /// One step: out of a group, or messages that nobody can receive any more.
    func clearUser(_ id: UserID, limit: Int, _ stamp: Stamp) throws -> Outcome {
        let user = try user(id)
        guard user.removed else { throw Rejection.userUnknown }
        if let erasure = try erasure(of: id) { return try clear(erasure, user, limit: limit, stamp) }
        if let chat = try first(statements.findGroupOfUser, of: id) {
            guard let publication = try leave(id, try self.chat(chat), stamp) else { throw Rejection.chatUnknown }
            return .removed(rows: 1, remaining: true, publication)
        }
        if let chat = try first(statements.findDeserted, of: id) {
            return .removed(rows: try expireMessages(of: chat, upTo: .max, limit: limit), remaining: true, nil)
        }
        try statements.finishUser.run { $0.bind(1, id.rawValue) }
        return .removed(rows: 0, remaining: false, nil)
    }

    func first(_ statement: Statement, of user: UserID) throws(SQLiteError) -> ChatID? {
        defer { statement.reset() }
        statement.bind(1, user.rawValue)
        return try statement.step() ? ChatID(statement.unsigned(0)) : nil
    }
}
