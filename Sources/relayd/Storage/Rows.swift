import NIOCore
import RelayModel

/// One message as one user finds it in the mailbox or in a chat's history.
package struct StoredEnvelope: Sendable {
    /// 0 when read from a chat's history.
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
    package init(
        mailboxSeq: UInt64, chat: ChatID, chatSeq: UInt64, message: MessageID, senderUser: UserID, senderDevice: DeviceID,
        clientMessageID: UInt64, body: ByteBuffer, keys: PackedKeys
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

package struct AuditRow: Sendable {
    package var at: Timestamp
    package var actor: Actor
}

/// A chat in a user's list of conversations.
package struct ConversationRow: Sendable {
    package var chat: ChatID
    package var members: [UserID]
    /// Nil before the first message.
    package var last: StoredEnvelope?
}

package struct Counts: Sendable {
    package var users: Int
    package var devices: Int
    package var openInvites: Int
}
