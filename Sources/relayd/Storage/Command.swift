import NIOCore
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
    case revokeDevice(DeviceID)
    /// The user's name, devices and invites go at once; the mailbox goes in steps of `removeMailbox`.
    case removeUser(UserID)
    /// From now on the user can neither send nor connect; what is sent to them is kept. A second one changes the reason only.
    case suspendUser(UserID, reason: String?)
    case resumeUser(UserID)
    /// Deletes up to `limit` rows of a removed user's mailbox.
    case removeMailbox(UserID, limit: Int)
    /// The new chat's identifier is the command's stamp; an existing chat of the two is found instead.
    case openChat(UserID, UserID)
    case send(Send)
    case acknowledge(Acknowledge)
    case read(UserID, ChatID, chatSeq: UInt64)
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

/// One sealed message for a chat.
package struct Send: Codable, Sendable {
    package var user: UserID
    package var device: DeviceID
    package var chat: ChatID
    /// Rises within the device.
    package var clientMessageID: UInt64
    package var body: ByteBuffer
    package var keys: [MemberKeys]
    package init(user: UserID, device: DeviceID, chat: ChatID, clientMessageID: UInt64, body: ByteBuffer, keys: [MemberKeys]) {
        self.user = user
        self.device = device
        self.chat = chat
        self.clientMessageID = clientMessageID
        self.body = body
        self.keys = keys
    }

    /// A member's keys. `index` is where they are when the sender kept to the order of the chat's members, which spares the search.
    package func keys(of user: UserID, at index: Int) -> PackedKeys? {
        if index < keys.count, keys[index].user == user { return keys[index].keys }
        return keys.first { $0.user == user }?.keys
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

/// The operator behind a change, for the audit log.
package struct Actor: Codable, Sendable {
    package var uid: UInt32
    /// The operation's name, such as `user/add`.
    package var operation: String
    /// What it is about: a user's name or an identifier.
    package var subject: String
    package var reason: String?
    package init(uid: UInt32, operation: String, subject: String, reason: String? = nil) {
        self.uid = uid
        self.operation = operation
        self.subject = subject
        self.reason = reason
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
