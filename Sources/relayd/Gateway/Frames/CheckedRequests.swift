import NIOCore
import RelayModel
import RelayStorage
import RelayWire

/// A `relay.v1.Send` whose form is right; whether it may be sent is the store's to say.
struct CheckedSend {
    var chat: ChatID
    /// Rises within the device; positive.
    var clientMessageID: UInt64
    /// Never empty.
    var body: ByteBuffer
    /// Users ascending; the devices of each ascending.
    var keys: [MemberKeys]

    init(_ wire: Relay_V1_Send, maxBodyBytes: Int) throws(WireFailure) {
        try self.init(chat: wire.chatID, clientMessageID: wire.clientMessageID, bodyBytes: wire.body.count, maxBodyBytes: maxBodyBytes)
        keys = try KeyPacker.pack(wire.keys)
        body = ByteBuffer(bytes: wire.body)
    }

    /// Checks all but the keys; the caller fills in keys and body.
    init(chat: UInt64, clientMessageID: UInt64, bodyBytes: Int, maxBodyBytes: Int) throws(WireFailure) {
        self.chat = try Checked.id(chat, "chat_id")
        self.clientMessageID = try Checked.sequence(clientMessageID, "client_message_id")
        guard bodyBytes > 0 else { throw .malformed("a message needs a body") }
        try Checked.bodySize(bodyBytes, max: maxBodyBytes)
        body = ByteBuffer()
        keys = []
    }
}

/// A `relay.v1.GroupChange` whose form is right; whether the caller may do it is the store's to say.
struct CheckedGroupChange {
    /// Nil for a new group, and only then.
    var chat: ChatID?
    /// Rises within the device; positive.
    var clientMessageID: UInt64
    var action: GroupAction
    /// Ascending, each once. Somebody when members are added or removed or get a role; nobody when the caller leaves or renames.
    var users: [UserID]
    /// There with `setRole`, and only then.
    var role: GroupRole?
    /// Content for the members after the change. Empty when there is none: always with `create`, never with `rename`.
    var body: ByteBuffer
    /// Users ascending; the devices of each ascending. Empty without a body.
    var keys: [MemberKeys]

    init(_ wire: Relay_V1_GroupChange, maxBodyBytes: Int) throws(WireFailure) {
        try self.init(
            chat: wire.chatID, clientMessageID: wire.clientMessageID, action: wire.action.rawValue, users: wire.userIds, role: wire.role.rawValue,
            bodyBytes: wire.body.count, members: wire.keys.count, maxBodyBytes: maxBodyBytes)
        keys = try KeyPacker.pack(wire.keys)
        body = ByteBuffer(bytes: wire.body)
    }

    /// Checks all but the keys; the caller fills in keys and body.
    /// - Parameter members: for how many there are keys.
    init(
        chat: UInt64, clientMessageID: UInt64, action: Int, users: [UInt64], role: Int, bodyBytes: Int, members: Int, maxBodyBytes: Int
    ) throws(WireFailure) {
        guard let action = UInt8(exactly: action).flatMap(GroupAction.init) else {
            throw .malformed("action must be CREATE, ADD, REMOVE, LEAVE, RENAME or SET_ROLE")
        }
        self.action = action
        if action == .create {
            guard chat == 0 else { throw .malformed("a new group has no chat_id yet: leave it out") }
            self.chat = nil
        } else {
            self.chat = try Checked.id(chat, "chat_id")
        }
        self.clientMessageID = try Checked.sequence(clientMessageID, "client_message_id")
        guard users.count <= Limits.chatMembers else { throw .malformed("a change names at most \(Limits.chatMembers) users") }
        self.users = try Checked.ascending(users, "user_ids").map { number throws(WireFailure) in try Checked.id(number, "user_ids") }
        switch action {
        case .create: break
        case .add, .remove, .setRole: guard !users.isEmpty else { throw .malformed("user_ids must name somebody") }
        case .leave, .rename: guard users.isEmpty else { throw .malformed("LEAVE and RENAME have no user_ids") }
        }
        if action == .setRole {
            guard let known = UInt8(exactly: role).flatMap(GroupRole.init) else { throw .malformed("role must be MEMBER, ADMIN or OWNER") }
            self.role = known
        } else {
            guard role == 0 else { throw .malformed("only SET_ROLE has a role") }
            self.role = nil
        }
        if action == .create, bodyBytes > 0 { throw .malformed("CREATE has no body: the chat_id it is sealed for is not known yet") }
        if action == .rename, bodyBytes == 0 { throw .malformed("RENAME needs a body") }
        if bodyBytes == 0, members > 0 { throw .malformed("keys without a body") }
        try Checked.bodySize(bodyBytes, max: maxBodyBytes)
        body = ByteBuffer()
        keys = []
    }
}

/// A `relay.v1.Delete` whose form is right; whether the caller may do it is the store's to say.
struct CheckedDelete {
    var chat: ChatID
    /// Rises within the device; positive.
    var clientMessageID: UInt64
    /// 1 to ``Limits/deletionsAtOnce`` sequences of the chat, ascending, each once.
    var seqs: [UInt64]
    var forEveryone: Bool

    init(_ wire: Relay_V1_Delete) throws(WireFailure) {
        try self.init(chat: wire.chatID, clientMessageID: wire.clientMessageID, seqs: wire.chatSeqs, forEveryone: wire.forEveryone)
    }

    init(chat: UInt64, clientMessageID: UInt64, seqs: [UInt64], forEveryone: Bool) throws(WireFailure) {
        self.chat = try Checked.id(chat, "chat_id")
        self.clientMessageID = try Checked.sequence(clientMessageID, "client_message_id")
        guard !seqs.isEmpty, seqs.count <= Limits.deletionsAtOnce else {
            throw .malformed("chat_seqs must name 1 to \(Limits.deletionsAtOnce) messages")
        }
        self.seqs = try Checked.ascending(seqs, "chat_seqs")
        for seq in seqs { _ = try Checked.sequence(seq, "chat_seqs") }
        self.forEveryone = forEveryone
    }
}

/// Checks of single values: the store's integers have 63 bits.
enum Checked {
    static func id<ID: RelayIdentifier>(_ number: UInt64, _ field: StaticString) throws(WireFailure) -> ID {
        guard number > 0, number <= UInt64(Int64.max) else { throw .malformed("\(field) must be a positive 63-bit number") }
        return ID(rawValue: number)
    }

    static func sequence(_ number: UInt64, _ field: StaticString) throws(WireFailure) -> UInt64 {
        guard number > 0, number <= UInt64(Int64.max) else { throw .malformed("\(field) must be a positive 63-bit number") }
        return number
    }

    static func bodySize(_ bytes: Int, max: Int) throws(WireFailure) {
        guard bytes <= max else { throw WireFailure(.tooLarge, "the body has \(bytes) bytes, at most \(max) are taken") }
    }

    /// The numbers in order; the client may give them in any.
    static func ascending(_ numbers: [UInt64], _ field: StaticString) throws(WireFailure) -> [UInt64] {
        let sorted = numbers.sorted()
        guard zip(sorted, sorted.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .malformed("\(field) names a number twice") }
        return sorted
    }
}
