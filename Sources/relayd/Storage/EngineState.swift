import RelayModel
import RelaySQLite

// What the engine keeps in memory about the users, devices and chats that were active. Confined to the writer's thread.

final class UserState {
    let id: UserID
    var removed: Bool
    /// May not send.
    var suspended = false
    /// Not held to rate limits: a bot, or a load generator.
    var noLimits = false
    /// Active devices, in the order of their identifiers.
    private(set) var devices: [DeviceID]
    /// Which agreement key each of them has; 1 is that of the enrolment.
    private(set) var agreementVersions: [UInt32]

    init(id: UserID, removed: Bool, devices: [(id: DeviceID, agreementVersion: UInt32)]) {
        self.id = id
        self.removed = removed
        self.devices = devices.map(\.id)
        agreementVersions = devices.map(\.agreementVersion)
    }

    /// A new one: its identifier is above all others.
    func add(_ device: DeviceID) {
        devices.append(device)
        agreementVersions.append(1)
    }

    func remove(_ device: DeviceID) {
        guard let index = devices.firstIndex(of: device) else { return }
        devices.remove(at: index)
        agreementVersions.remove(at: index)
    }

    func agreementVersion(of device: DeviceID) -> UInt32 { devices.firstIndex(of: device).map { agreementVersions[$0] } ?? 0 }

    func setAgreementVersion(_ version: UInt32, of device: DeviceID) {
        if let index = devices.firstIndex(of: device) { agreementVersions[index] = version }
    }
}

final class DeviceState {
    let id: DeviceID
    let user: UserState
    var revoked: Bool
    var highestClientMessageID: UInt64
    var cursor: UInt64
    /// To be written at the end of the batch.
    var changed = false

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
    var role: GroupRole
    let joinedSeq: UInt64
    var deliveredSeq = UInt64(0)
    var readSeq = UInt64(0)
    var version = UInt64(0)
    /// To be written at the end of the batch.
    var changed = false

    init(user: UserState, role: GroupRole, joinedSeq: UInt64) {
        self.user = user
        self.role = role
        self.joinedSeq = joinedSeq
    }
}

final class ChatState {
    let id: ChatID
    let kind: ChatKind
    /// Those who are in it now, in the order of their identifiers.
    private(set) var members: [MemberState]
    /// The same, as identifiers: shared with every publication.
    private(set) var memberIDs: [UserID]
    var lastSeq: UInt64
    /// Of a direct chat: its users are contacts and neither blocks the other. Nil until somebody asks.
    var passes: Bool?
    private var authors: [UserID?] = []

    init(id: ChatID, kind: ChatKind, members: [MemberState], lastSeq: UInt64) {
        self.id = id
        self.kind = kind
        self.members = members
        self.lastSeq = lastSeq
        memberIDs = members.map(\.user.id)
    }

    /// By halving: a group has up to a thousand members.
    func member(_ user: UserID) -> MemberState? {
        let index = place(of: user)
        return index < memberIDs.count && memberIDs[index] == user ? members[index] : nil
    }

    func insert(_ member: MemberState) {
        let index = place(of: member.user.id)
        members.insert(member, at: index)
        memberIDs.insert(member.user.id, at: index)
    }

    func remove(_ user: UserID) {
        let index = place(of: user)
        guard index < memberIDs.count, memberIDs[index] == user else { return }
        members.remove(at: index)
        memberIDs.remove(at: index)
    }

    private func place(of user: UserID) -> Int {
        var low = 0
        var high = memberIDs.count
        while low < high {
            let middle = (low + high) / 2
            if memberIDs[middle] < user { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Receipts

    /// Single receipts are kept and pushed.
    var keepsReceipts: Bool { kind == .direct || (kind == .group && members.count <= Limits.receiptMembers) }

    /// Messages whose authors are remembered. An older one is rarely still undelivered; its author can ask.
    private static let rememberedAuthors = 64

    func noteAuthor(_ user: UserID, of seq: UInt64) {
        guard kind == .group, keepsReceipts else { return }
        if authors.isEmpty { authors = Array(repeating: nil, count: ChatState.rememberedAuthors) }
        authors[Int(seq % UInt64(ChatState.rememberedAuthors))] = user
    }

    /// Who wrote the messages behind `old` up to `new`, as far as that is remembered, each once.
    func authors(behind old: UInt64, upTo new: UInt64) -> [UserID] {
        guard !authors.isEmpty else { return [] }
        let count = UInt64(ChatState.rememberedAuthors)
        var found: [UserID] = []
        var seq = max(old, lastSeq > count ? lastSeq - count : 0) + 1
        while seq <= new {
            if let author = authors[Int(seq % count)], !found.contains(author) { found.append(author) }
            seq += 1
        }
        return found
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
        let suspended = statement.integer(1) != 0
        let noLimits = statement.integer(2) != 0
        let state = UserState(id: id, removed: removed, devices: try activeDevices(of: id))
        state.suspended = suspended
        state.noLimits = noLimits
        users[id] = state
        return state
    }

    /// - Throws: `Rejection.userUnknown` also for one that was removed.
    func presentUser(_ id: UserID) throws -> UserState {
        let state = try user(id)
        guard !state.removed else { throw Rejection.userUnknown }
        return state
    }

    private func activeDevices(of user: UserID) throws(SQLiteError) -> [(id: DeviceID, agreementVersion: UInt32)] {
        let statement = statements.loadActiveDevices
        defer { statement.reset() }
        statement.bind(1, user.rawValue)
        var found: [(id: DeviceID, agreementVersion: UInt32)] = []
        while try statement.step() { found.append((DeviceID(statement.unsigned(0)), UInt32(truncatingIfNeeded: statement.unsigned(1)))) }
        return found
    }

    /// - Throws: `Rejection.deviceUnknown` for one that never was, is revoked, or belongs to somebody else; or what the store reports.
    func activeDevice(_ id: DeviceID, of user: UserID) throws -> DeviceState {
        let state = try activeDevice(id)
        guard state.user.id == user else { throw Rejection.deviceUnknown }
        return state
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
        let kind = ChatKind(rawValue: UInt8(truncatingIfNeeded: statement.integer(0))) ?? .direct
        let lastSeq = statement.unsigned(1)
        let state = ChatState(id: id, kind: kind, members: try members(of: id), lastSeq: lastSeq)
        chats[id] = state
        cachedMembers += max(1, state.members.count)
        return state
    }

    private func members(of chat: ChatID) throws -> [MemberState] {
        let statement = statements.loadMembers
        defer { statement.reset() }
        statement.bind(1, chat.rawValue)
        var members: [MemberState] = []
        while try statement.step() {
            let member = MemberState(
                user: try user(UserID(statement.unsigned(0))), role: GroupRole(rawValue: UInt8(truncatingIfNeeded: statement.integer(1))) ?? .member,
                joinedSeq: statement.unsigned(2))
            member.deliveredSeq = statement.unsigned(3)
            member.readSeq = statement.unsigned(4)
            member.version = statement.unsigned(5)
            members.append(member)
        }
        return members
    }

    /// Call when the cursor or the highest client message id has changed.
    func noteChange(of device: DeviceState) {
        guard !device.changed else { return }
        device.changed = true
        changedDevices.append(device)
    }
}
