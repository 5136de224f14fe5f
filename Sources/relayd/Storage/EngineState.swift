import RelayModel
import RelaySQLite

// What the engine keeps in memory about the users, devices and chats that were active. Confined to the writer's thread.

final class UserState {
    let id: UserID
    var removed: Bool
    /// May not send.
    var suspended = false
    /// Active devices, in the order of their identifiers.
    var devices: [DeviceID]
    var lastMailboxSeq: UInt64

    init(id: UserID, removed: Bool, devices: [DeviceID], lastMailboxSeq: UInt64) {
        self.id = id
        self.removed = removed
        self.devices = devices
        self.lastMailboxSeq = lastMailboxSeq
    }
}

final class DeviceState {
    let id: DeviceID
    let user: UserState
    var revoked: Bool
    var highestClientMessageID: UInt64
    var cursor: UInt64
    var senderChanged = false
    var cursorChanged = false

    init(id: DeviceID, user: UserState, revoked: Bool, highestClientMessageID: UInt64, cursor: UInt64) {
        self.id = id
        self.user = user
        self.revoked = revoked
        self.highestClientMessageID = highestClientMessageID
        self.cursor = cursor
    }
}

final class MemberState {
    let user: UserState
    var deliveredSeq: UInt64
    var readSeq: UInt64
    var version: UInt64
    var changed = false

    init(user: UserState, deliveredSeq: UInt64, readSeq: UInt64, version: UInt64) {
        self.user = user
        self.deliveredSeq = deliveredSeq
        self.readSeq = readSeq
        self.version = version
    }
}

final class ChatState {
    let id: ChatID
    let members: [MemberState]
    var lastSeq: UInt64

    init(id: ChatID, members: [MemberState], lastSeq: UInt64) {
        self.id = id
        self.members = members
        self.lastSeq = lastSeq
    }
}

extension SQLiteEngine {
    /// - Throws: `Rejection.userUnknown`, or what the store reports.
    func user(_ id: UserID) throws -> UserState {
        if let known = users[id] { return known }
        let statement = statements.loadUser
        defer { statement.reset() }
        statement.bind(1, id.rawValue)
        guard try statement.step() else { throw Rejection.userUnknown }
        let removed = statement.integer(0) != 0
        let lastMailboxSeq = statement.unsigned(1)
        let suspended = statement.integer(2) != 0
        let state = UserState(id: id, removed: removed, devices: try activeDevices(of: id), lastMailboxSeq: lastMailboxSeq)
        state.suspended = suspended
        users[id] = state
        return state
    }

    private func activeDevices(of user: UserID) throws(SQLiteError) -> [DeviceID] {
        let statement = statements.loadActiveDevices
        defer { statement.reset() }
        statement.bind(1, user.rawValue)
        var found: [DeviceID] = []
        while try statement.step() { found.append(DeviceID(statement.unsigned(0))) }
        return found
    }

    /// - Throws: `Rejection.deviceUnknown` for one that never was or is revoked, or what the store reports.
    func activeDevice(_ id: DeviceID) throws -> DeviceState {
        let state = try device(id)
        guard !state.revoked else { throw Rejection.deviceUnknown }
        return state
    }

    private func device(_ id: DeviceID) throws -> DeviceState {
        if let known = devices[id] { return known }
        let statement = statements.loadDevice
        defer { statement.reset() }
        statement.bind(1, id.rawValue)
        guard try statement.step() else { throw Rejection.deviceUnknown }
        let state = DeviceState(
            id: id, user: try user(UserID(statement.unsigned(0))), revoked: statement.integer(1) != 0,
            highestClientMessageID: statement.unsigned(2), cursor: statement.unsigned(3))
        devices[id] = state
        return state
    }

    /// - Throws: `Rejection.chatUnknown`, or what the store reports.
    func chat(_ id: ChatID) throws -> ChatState {
        if let known = chats[id] { return known }
        let statement = statements.loadChat
        defer { statement.reset() }
        statement.bind(1, id.rawValue)
        guard try statement.step() else { throw Rejection.chatUnknown }
        let lastSeq = statement.unsigned(0)
        let state = ChatState(id: id, members: try members(of: id), lastSeq: lastSeq)
        chats[id] = state
        return state
    }

    private func members(of chat: ChatID) throws -> [MemberState] {
        let statement = statements.loadMembers
        defer { statement.reset() }
        statement.bind(1, chat.rawValue)
        var rows: [(UserID, UInt64, UInt64, UInt64)] = []
        while try statement.step() {
            rows.append((UserID(statement.unsigned(0)), statement.unsigned(1), statement.unsigned(2), statement.unsigned(3)))
        }
        return try rows.map { MemberState(user: try user($0), deliveredSeq: $1, readSeq: $2, version: $3) }
    }
}
