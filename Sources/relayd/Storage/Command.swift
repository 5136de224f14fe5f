import NIOCore
import RelayCrypto
import RelayModel

/// A change of durable state. Everything that is not decided by the state itself (time, identifiers, randomness) is in the
/// command or in its ``Stamp``, so that the same commands give the same tables on every engine.
package enum Command: Codable, Sendable {
    /// The new user's identifier and that of the first invite are both the command's stamp.
    case addUser(AddUser)
    case addInvite(AddInvite)
    case revokeInvite(InviteID)
    /// The new device's identifier is the command's stamp.
    case enrolDevice(EnrolDevice)
    /// The same, with one of the user's devices in the place of an invite.
    case linkDevice(LinkDevice)
    case revokeDevice(DeviceID)
    /// The user's name, devices and invites go at once; groups and chats follow in steps of `clearUser`.
    case removeUser(UserID)
    /// One step of what follows: takes a removed user out of a group, or deletes up to `limit` messages that nobody can receive any more; of an erased
    /// one whatever else is left, up to `limit` rows of it.
    case clearUser(UserID, limit: Int)
    /// The user is out at once; when there is no grace, everything else that `removeUser` does comes with it.
    case eraseUser(EraseUser)
    /// As `removeUser`, for a user whose grace is over.
    case beginErasure(UserID)
    /// Within the grace: the user is as before.
    case cancelErasure(UserID)
    /// The last step, when nothing of the user is left in the store's files: the audit log says what went.
    case finishErasure(UserID)
    /// From now on the user can neither send nor connect; what is sent to them is kept. A second one changes the reason only.
    case suspendUser(UserID, reason: String?)
    case resumeUser(UserID)
    /// Takes a stamp more for each group that a block may take the user out of.
    case contact(ContactCommand)
    case setContactPolicy(ContactPolicy)
    case setKeys(SetKeys)
    case takePrekeys(TakePrekeys)
    case revokeKeys(RevokeKeys)
    case expireKeys(ExpireKeys)
    /// The new chat's identifier is the command's stamp; an existing chat of the two is found instead.
    /// `by`: the device that asks, which must still be allowed to.
    case openChat(UserID, UserID, by: DeviceID? = nil)
    case send(Send)
    /// A new group's identifier is the command's stamp.
    case changeGroup(ChangeGroup)
    case delete(Delete)
    /// Deletes the messages of each chat up to a place, and leaves a gap marker there. Whoever asks bounds how many they are.
    case purge([PurgeEnd])
    case setRetention(SetRetention)
    /// The class of users that a user belongs to; nil: none.
    case assignRetention(UserID, String?)
    case recordPurge(PurgeRecord)
    /// Gives free pages of the file back, but for a share that is kept; no table changes.
    case releaseSpace(pages: Int)
    case recordAlerts(RecordAlerts)
    case recordLoad(LoadDay)
    // MARK: Figures about people
    case openPeople([PeopleOpening])
    case countPeople(PeopleCounts)
    case closePeople(PeopleClose)
    // MARK: Presence
    case setPresence(SetPresence)
    /// When users were last there. Whoever asks bounds how many they are.
    case recordLastSeen([LastSeen])
    // MARK: Receipts
    /// What many devices acknowledged. Takes as many stamps as there are entries: each is the version of its receipts.
    case acknowledge([Acknowledge])
    case read(UserID, ChatID, chatSeq: UInt64)
    /// Changes nothing: for an operator's act that leaves no other trace than its entry in the audit log.
    case auditOnly

    /// How many stamps the command takes, its own included.
    package var stamps: UInt64 {
        switch self {
        case .acknowledge(let entries): UInt64(max(1, entries.count))
        case .contact(let command) where command.action == .block: UInt64(1 + Limits.sharedGroupsAtOnce)
        default: 1
        }
    }
}

package struct AddUser: Codable, Sendable {
    package var name: UserName
    package var displayName: String?
    package var avatar: String?
    package var inviteHash: [UInt8]
    package var inviteExpires: Timestamp
    /// Not held to rate limits: a bot, or a load generator.
    package var noLimits: Bool
    package init(
        name: UserName, displayName: String?, avatar: String?, inviteHash: [UInt8], inviteExpires: Timestamp, noLimits: Bool = false
    ) {
        self.noLimits = noLimits
        self.name = name
        self.displayName = displayName
        self.avatar = avatar
        self.inviteHash = inviteHash
        self.inviteExpires = inviteExpires
    }
}

/// What a user, or an operator for them, does about another user.
package struct ContactCommand: Codable, Sendable {
    package var user: UserID
    package var peer: UserID
    /// Nil only sets the category.
    package var action: ContactAction?
    /// Nil: as it was.
    package var category: String?
    /// The version of the contact that the decision was based on; nil: whatever it is.
    package var basedOn: UInt64?
    /// That asks, and must still be allowed to; nil: an operator.
    package var device: DeviceID?
    package init(
        user: UserID, peer: UserID, action: ContactAction?, category: String? = nil, basedOn: UInt64? = nil, device: DeviceID? = nil
    ) {
        self.device = device
        self.user = user
        self.peer = peer
        self.action = action
        self.category = category
        self.basedOn = basedOn
    }
}

package struct AddInvite: Codable, Sendable {
    package var user: UserID
    package var hash: [UInt8]
    package var expires: Timestamp
    package init(user: UserID, hash: [UInt8], expires: Timestamp) {
        self.user = user
        self.hash = hash
        self.expires = expires
    }
}

/// What a device publishes about itself. The signature was checked before the command was made.
package struct DeviceKeySet: Codable, Sendable, Equatable {
    /// Ed25519, 32 bytes.
    package var identityKey: [UInt8]
    /// X25519, 32 bytes.
    package var agreementKey: [UInt8]
    /// Ed25519 over the agreement key, 64 bytes.
    package var agreementSignature: [UInt8]
    package init(identityKey: [UInt8], agreementKey: [UInt8], agreementSignature: [UInt8]) {
        self.identityKey = identityKey
        self.agreementKey = agreementKey
        self.agreementSignature = agreementSignature
    }
}

package struct EnrolDevice: Codable, Sendable {
    package var inviteHash: [UInt8]
    package var deviceName: String
    package var keys: DeviceKeySet
    /// The configured limit at the time of the request.
    package var devicesPerUser: Int
    package init(inviteHash: [UInt8], deviceName: String, keys: DeviceKeySet, devicesPerUser: Int) {
        self.inviteHash = inviteHash
        self.deviceName = deviceName
        self.keys = keys
        self.devicesPerUser = devicesPerUser
    }
}

/// A new device that one of the user's devices has authenticated.
package struct LinkDevice: Codable, Sendable {
    package var user: UserID
    /// The device that vouches for it.
    package var by: DeviceID
    package var deviceName: String
    package var keys: DeviceKeySet
    /// The configured limit at the time of the request.
    package var devicesPerUser: Int
    package init(user: UserID, by: DeviceID, deviceName: String, keys: DeviceKeySet, devicesPerUser: Int) {
        self.user = user
        self.by = by
        self.deviceName = deviceName
        self.keys = keys
        self.devicesPerUser = devicesPerUser
    }
}

/// One sealed message for a chat.
package struct Send: Codable, Sendable {
    package var user: UserID
    package var device: DeviceID
    package var chat: ChatID
    /// Rises within the device.
    package var clientMessageID: UInt64
    package var body: ByteBuffer
    /// In the order of the users' identifiers, one entry for each member that has devices.
    package var keys: [MemberKeys]
    package init(user: UserID, device: DeviceID, chat: ChatID, clientMessageID: UInt64, body: ByteBuffer, keys: [MemberKeys]) {
        self.user = user
        self.device = device
        self.chat = chat
        self.clientMessageID = clientMessageID
        self.body = body
        self.keys = keys
    }
}

/// A change of a group: it takes a place in the chat's order, as a message does.
package struct ChangeGroup: Codable, Sendable {
    package var user: UserID
    package var device: DeviceID
    /// Nil for `create`.
    package var chat: ChatID?
    package var clientMessageID: UInt64
    package var action: GroupAction
    /// In the order of their identifiers.
    package var users: [UserID]
    package var role: GroupRole?
    /// Empty when the change carries no content.
    package var body: ByteBuffer
    /// As in ``Send``, for the members after the change; empty without a body.
    package var keys: [MemberKeys]
    package init(
        user: UserID, device: DeviceID, chat: ChatID?, clientMessageID: UInt64, action: GroupAction, users: [UserID], role: GroupRole?,
        body: ByteBuffer, keys: [MemberKeys]
    ) {
        self.user = user
        self.device = device
        self.chat = chat
        self.clientMessageID = clientMessageID
        self.action = action
        self.users = users
        self.role = role
        self.body = body
        self.keys = keys
    }
}

/// Deletes messages of a chat, for everyone or for the user's own devices.
package struct Delete: Codable, Sendable {
    package var user: UserID
    package var device: DeviceID
    package var chat: ChatID
    package var clientMessageID: UInt64
    /// Rising; at most ``Limits/deletionsAtOnce``.
    package var seqs: [UInt64]
    package var forEveryone: Bool
    package init(user: UserID, device: DeviceID, chat: ChatID, clientMessageID: UInt64, seqs: [UInt64], forEveryone: Bool) {
        self.user = user
        self.device = device
        self.chat = chat
        self.clientMessageID = clientMessageID
        self.seqs = seqs
        self.forEveryone = forEveryone
    }
}

/// The wrapped keys for one member's devices.
package struct MemberKeys: Codable, Sendable {
    package var user: UserID
    package var keys: PackedKeys
    package init(user: UserID, keys: PackedKeys) {
        self.user = user
        self.keys = keys
    }
}

/// A device has everything up to a place in its user's mailbox.
package struct Acknowledge: Codable, Sendable {
    package var user: UserID
    package var device: DeviceID
    package var mailboxSeq: UInt64
    /// The highest sequence that this delivers in each chat it touches.
    package var delivered: [ChatPosition]
    package init(user: UserID, device: DeviceID, mailboxSeq: UInt64, delivered: [ChatPosition]) {
        self.user = user
        self.device = device
        self.mailboxSeq = mailboxSeq
        self.delivered = delivered
    }
}

package struct ChatPosition: Codable, Sendable, Hashable {
    package var chat: ChatID
    package var seq: UInt64
    package init(chat: ChatID, seq: UInt64) {
        self.chat = chat
        self.seq = seq
    }
}

/// Up to where a purge takes a chat's messages.
package struct PurgeEnd: Codable, Sendable {
    package var chat: ChatID
    package var seq: UInt64
    /// Some device may not have all of them, so that it is looked at who has not. Cursors only rise: what was delivered when the purge was planned stays so.
    package var mayBeUnread: Bool
    package init(chat: ChatID, seq: UInt64, mayBeUnread: Bool) {
        self.chat = chat
        self.seq = seq
        self.mayBeUnread = mayBeUnread
    }
}

/// The operator behind a change, for the audit log.
package struct Actor: Codable, Sendable {
    package var uid: UInt32
    /// The operation's name, such as `user/add`.
    package var operation: String
    /// What it is about: a user's name or an identifier.
    package var subject: String
    package var reason: String?
    /// What became of it: ``done``, or the code of an error. A failed one may name nobody but who exists.
    package var result: String
    /// See ``AuditEntry/missed``.
    package var missed: Int
    /// Hides subject and reason in the chain of hashes, see ``AuditChainEntry``. Drawn here, so that the command decides everything.
    package var salt: [UInt8]

    package static let done = "done"

    package init(
        uid: UInt32, operation: String, subject: String, reason: String? = nil, result: String = done, missed: Int = 0,
        salt: [UInt8] = SystemEntropy().bytes(Limits.auditSaltBytes)
    ) {
        self.uid = uid
        self.operation = operation
        self.subject = subject
        self.reason = reason
        self.result = result
        self.missed = missed
        self.salt = salt
    }
}

/// A command with its time and identifier, in the order in which the writer applies it.
package struct StampedCommand: Codable, Sendable {
    package var stamp: Stamp
    package var command: Command
    /// Set for an operator's change: it is written to the audit log in the same transaction, unless it is rejected.
    package var actor: Actor?
    package init(stamp: Stamp, command: Command, actor: Actor? = nil) {
        self.stamp = stamp
        self.command = command
        self.actor = actor
    }
}
