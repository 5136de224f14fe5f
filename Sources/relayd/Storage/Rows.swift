import NIOCore
import RelayModel

/// One message as one user finds it in the mailbox or in a chat's history.
package struct StoredEnvelope: Sendable {
    /// The place in the mailbox: the message's identifier, because identifiers rise in the order of the commits.
    package var mailboxSeq: UInt64
    package var chat: ChatID
    package var chatSeq: UInt64
    package var message: MessageID
    package var senderUser: UserID
    package var senderDevice: DeviceID
    package var clientMessageID: UInt64
    package var body: ByteBuffer
    /// The user's wrapped keys; ``PackedKeys/key(for:)`` finds one device's.
    package var keys: PackedKeys
    /// What it is besides a message.
    package var extra: EnvelopeExtra?
    package init(
        mailboxSeq: UInt64, chat: ChatID, chatSeq: UInt64, message: MessageID, senderUser: UserID, senderDevice: DeviceID,
        clientMessageID: UInt64, body: ByteBuffer, keys: PackedKeys, extra: EnvelopeExtra? = nil
    ) {
        self.mailboxSeq = mailboxSeq
        self.chat = chat
        self.chatSeq = chatSeq
        self.message = message
        self.senderUser = senderUser
        self.senderDevice = senderDevice
        self.clientMessageID = clientMessageID
        self.body = body
        self.keys = keys
        self.extra = extra
    }
}

/// What an envelope is when it is not just a message.
package enum EnvelopeExtra: Sendable {
    /// A change of the group; the body is its content, if it has one.
    case group(GroupEvent)
    /// The order to delete messages.
    case deletion(Deletion)
    /// The message that had this place was deleted.
    case deleted
    /// A gap marker: everything in the chat up to `chatSeq` has expired.
    case gone
}

package struct GroupEvent: Sendable, Codable, Equatable {
    package var action: GroupAction
    package var users: [UserID]
    package var role: GroupRole?
    package init(action: GroupAction, users: [UserID], role: GroupRole?) {
        self.action = action
        self.users = users
        self.role = role
    }
}

package struct Deletion: Sendable, Codable, Equatable {
    package var chat: ChatID
    package var seqs: [UInt64]
    package init(chat: ChatID, seqs: [UInt64]) {
        self.chat = chat
        self.seqs = seqs
    }
}

package struct ReceiptRow: Sendable, Equatable {
    package var chat: ChatID
    package var user: UserID
    package var deliveredSeq: UInt64
    package var readSeq: UInt64
    package var version: UInt64
    package init(chat: ChatID, user: UserID, deliveredSeq: UInt64, readSeq: UInt64, version: UInt64) {
        self.chat = chat
        self.user = user
        self.deliveredSeq = deliveredSeq
        self.readSeq = readSeq
        self.version = version
    }
}

package struct UserRow: Sendable {
    package var id: UserID
    package var name: UserName
    package var displayName: String?
    package var avatar: String?
    package var suspension: Suspension?
    /// Not held to rate limits.
    package var noLimits: Bool
    /// The user is out, and is erased then.
    package var eraseAt: Timestamp?
    /// Of whose policy the user's messages are; nil: that of all others.
    package var retentionClass: String?
    package var sharing: PresenceSharing
    /// In whole minutes, and some minutes late; nil when it is not known or hidden.
    package var lastSeen: Timestamp?
    package var createdAt: Timestamp { Stamp(rawValue: id.rawValue).time }
}

package struct Suspension: Sendable, Equatable {
    package var since: Timestamp
    package var reason: String?
}

package struct DeviceRow: Sendable {
    package var id: DeviceID
    package var user: UserID
    package var name: String
    package var keys: DeviceKeySet
    /// Which of the device's agreement keys it is; the first is 1.
    package var agreementVersion: UInt32
    /// The device's place in the mailbox.
    package var cursor: UInt64
    /// A revoked device keeps its public keys, not its name: what it sent before can still be checked by those who receive it later.
    package var revoked: Bool
    package var createdAt: Timestamp { Stamp(rawValue: id.rawValue).time }
}

package struct InviteRow: Sendable {
    package enum State: Int64, Sendable { case open = 0, used = 1, revoked = 2 }
    package var id: InviteID
    package var user: UserID
    package var userName: UserName
    package var expires: Timestamp
    package var state: State
    package var createdAt: Timestamp { Stamp(rawValue: id.rawValue).time }
}

/// How a user stands to another one, as they are told it.
package struct ContactRow: Sendable, Equatable {
    package var peer: UserID
    package var state: ContactState
    package var category: String
    package var version: UInt64
    package init(peer: UserID, state: ContactState, category: String, version: UInt64) {
        self.peer = peer
        self.state = state
        self.category = category
        self.version = version
    }
}

/// A page of what changed in a user's contacts.
package struct ContactsPage: Sendable {
    /// In the order of their versions.
    package var rows: [ContactRow]
    /// Only what changed since the version that was asked for.
    package var isDelta: Bool
    /// Where the next page begins; 0 at the end.
    package var next: UInt64
    package var version: UInt64
}

/// A chat in a user's list of conversations.
package struct ConversationRow: Sendable {
    package var chat: ChatID
    package var kind: ChatKind
    /// Empty in a group of more than ``Limits/receiptMembers``.
    package var members: [UserID]
    package var memberCount: Int
    /// The newest message that the user may see; nil before the first one.
    package var last: StoredEnvelope?
    /// The user's own read mark.
    package var readSeq: UInt64
    /// False when the user is no member any more.
    package var active: Bool
    /// What the list is ordered by: the last message's identifier, or the chat's.
    package var order: UInt64 { last?.message.rawValue ?? chat.rawValue }
}

/// A chat as one of its members, or a former one, sees it.
package struct ChatRow: Sendable {
    package var chat: ChatID
    package var kind: ChatKind
    /// In the order of their identifiers; a former member sees nobody.
    package var members: [ChatMember]
    package var lastSeq: UInt64
    package var joinedSeq: UInt64
    /// 0 while the membership goes on.
    package var leftSeq: UInt64
}

package struct ChatMember: Sendable, Equatable {
    package var user: UserID
    package var role: GroupRole
}

/// What became of a message, and how many members have it.
package struct MessageStatusRow: Sendable {
    package var sent: SentOutcome
    /// Of the other members; empty in a group of more than ``Limits/receiptMembers``.
    package var receipts: [ReceiptRow]
    package var recipients: Int
    package var delivered: Int
    package var read: Int
    package var deleted: Bool
}

package struct Counts: Sendable {
    package var users: Int
    package var devices: Int
    package var openInvites: Int
}
