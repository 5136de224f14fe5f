import RelayModel

/// Who and where this device is.
package struct Account: Sendable, Equatable {
    /// `http://host:port`.
    package var relay: String
    package var user: UserID
    package var userName: String
    package var device: DeviceID
    package var deviceName: String
}

/// A device whose keys were checked when they were stored.
package struct KnownDevice: Sendable, Equatable {
    package var id: DeviceID
    package var user: UserID
    package var name: String
    package var identityKey: [UInt8]
    package var agreementKey: [UInt8]
    package var active: Bool
    /// Of the agreement key, as the relay counts those of a device.
    package var agreementVersion: UInt32 = 1
}

/// Why a device's keys that the relay or the device gave are not taken. What was known before stays.
package enum KeyRefusal: Sendable, Equatable {
    /// Its identity did not sign them.
    case signature
    /// Another identity than before.
    case identity
    /// An older agreement key than before, or another one under the same number.
    case older
}

/// What an entry of the outbox asks for, when it is no message. Users are named as the person named them; the relay's ids are looked up when the
/// entry is sent.
package enum OutboxCommand: Sendable, Equatable, Codable {
    /// The entry's text is the title.
    case create(users: [String])
    case add(users: [String])
    case remove(users: [String])
    case leave
    /// The entry's text is the title.
    case rename
    case setRole(users: [String], GroupRole)
    case delete(seqs: [UInt64], forEveryone: Bool)
    /// A message that could not be opened is asked for again, of the device that sent it. Devices tell each other; nothing for people.
    case requestResend(seq: UInt64, device: DeviceID, clientMessageID: UInt64)
    /// A message is sealed anew for a device that could not open it.
    case resend(seq: UInt64, to: DeviceID, agreementKey: [UInt8], version: UInt32)

    /// Written by the device itself: a person neither wrote it nor hears of its failure.
    package var isTechnical: Bool {
        switch self {
        case .requestResend, .resend: true
        default: false
        }
    }

    var users: [String] {
        switch self {
        case .create(let users), .add(let users), .remove(let users), .setRole(let users, _): users
        case .leave, .rename, .delete, .requestResend, .resend: []
        }
    }
}

/// A message, a change of a group or a deletion that waits to be accepted by the relay.
package struct OutboxEntry: Sendable, Equatable {
    /// Names the entry on this device for ever, also when it is in the history or among the dead letters.
    package var id: Int64
    /// The recipient's user name, or the group's title.
    package var recipient: String
    package var text: String
    package var writtenAt: Timestamp
    package var chat: ChatID?
    /// Set once it is sealed.
    package var clientMessageID: UInt64?
    /// The chat, when it is not found by the recipient's name.
    package var target: ChatID?
    /// The entry that makes the chat this one is for.
    package var follows: Int64?
    /// Nil for a message.
    package var command: OutboxCommand?
}

/// Where something goes that is written to a group.
package enum GroupTarget: Sendable, Equatable {
    case chat(ChatID)
    /// The group is still in the outbox itself, under this number.
    case unborn(Int64)
}

/// A message that will not be accepted as things are, and why.
package struct DeadLetter: Sendable, Equatable {
    package var id: Int64
    package var recipient: String
    package var text: String
    package var writtenAt: Timestamp
    /// One of the relay's error codes, or `keys_invalid`, `key_changed`, `key_rollback`, `content_too_large`, `left_group`, `group_not_created`.
    package var code: String
    package var reason: String
    /// Nil for a message.
    package var command: OutboxCommand?
}

/// A change of a group, as it stands in the chat's order.
package struct GroupChangeRecord: Sendable, Equatable {
    package var action: GroupAction
    package var users: [UserID]
    package var role: GroupRole?
    /// In the order of `users`; the id where no name is known. Filled in when the history is read.
    package var names: [String] = []

    package init(action: GroupAction, users: [UserID], role: GroupRole?) {
        self.action = action
        self.users = users
        self.role = role
    }
}

/// A place in a chat: a message, received, or sent and accepted; a change of the group; or what is left of a deleted message.
package struct HistoryEntry: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case message
        /// `text` is the title that came with it, if one did.
        case change(GroupChangeRecord)
        /// The messages at these places were deleted for everyone.
        case deletion([UInt64])
        /// The message was deleted: for everyone, or for this user only.
        case deleted(forEveryone: Bool)
        /// What devices tell each other. It has its place in the chat and is never shown.
        case technical
    }

    package var chat: ChatID
    package var chatSeq: UInt64
    package var message: MessageID
    package var senderUser: UserID
    package var senderDevice: DeviceID
    package var clientMessageID: UInt64
    /// The relay's clock.
    package var sentAt: Timestamp
    /// The sender's clock; nil when the message cannot be read.
    package var writtenAt: Timestamp?
    /// Nil when ``problem`` says why it cannot be read.
    package var text: String?
    package var problem: String?
    /// The outbox number of what this device sent.
    package var outboxID: Int64?
    /// The sender's name, when it is known.
    package var senderName: String?
    /// The other member's name, or the group's title, when it is known.
    package var with: String?
    package var kind = Kind.message
    /// The chat is a group.
    package var inGroup = false
    /// This user blocked the sender when it came: it is kept, and not shown.
    package var hidden = false
    /// What opens its body; not filled in when the history is read.
    var contentKey: [UInt8]?

    /// The ``problem`` of what was in the mailbox before the device existed: nobody wrapped a key for it.
    package static let beforeEnrolment = "sent before this device was enrolled"
    /// How the ``problem`` of a message begins that no key of this device opens. What was done about it follows, for people.
    package static let unopened = "could not be read"
    /// The text of ``problem`` for a place whose row in the history cannot be read.
    package static let damaged = "damaged in this device's history"
}

/// Where the relay put an own message.
package struct SentPlace: Sendable, Equatable {
    package var chat: ChatID
    package var clientMessageID: UInt64
    package var message: MessageID
    package var chatSeq: UInt64
    package var sentAt: Timestamp
}

/// Places of a chat that are not in the history.
package struct GapRecord: Sendable, Equatable {
    package var chat: ChatID
    package var places: ClosedRange<UInt64>
    /// The relay has them no more; otherwise they never came.
    package var gone: Bool
}

/// A group that this device knows.
package struct GroupRecord: Sendable, Equatable {
    package var chat: ChatID
    /// Nil while this device was given no title that it could read.
    package var title: String?
    /// This user's part in it; nil for a former member.
    package var role: GroupRole?
    package var memberCount: Int
    /// Where this user's stay began, and where it ended (0: it goes on).
    package var joinedSeq: UInt64
    package var leftSeq: UInt64
}

package struct GroupMemberRecord: Sendable, Equatable {
    package var user: UserID
    package var name: String?
    package var role: GroupRole
}

/// What the relay says about a message that this device sent.
package struct MessageStatusRecord: Sendable, Equatable {
    package var place: SentPlace
    /// The other members when asked, and how many of them have the message and have read it.
    package var recipients: Int
    package var delivered: Int
    package var read: Int
    /// Deleted for everyone since.
    package var deleted: Bool
}

/// A member's watermarks in a chat.
package struct Watermarks: Sendable, Equatable {
    package var delivered: UInt64
    package var read: UInt64
}

/// A chat on one line.
package struct ChatSummary: Sendable, Equatable {
    package var chat: ChatID
    /// The other member's name, or the group's title, when it is known.
    package var with: String?
    package var kind: ChatKind
    /// Messages in the history, whoever sent them.
    package var messages: Int
    /// Messages that this device sent; of these, how many all other members have got and read.
    package var sent: Int
    package var delivered: Int
    package var read: Int
    /// The other members' watermarks: the lowest of them.
    package var deliveredSeq: UInt64
    package var readSeq: UInt64
    package var lastSeq: UInt64
    /// Places in the chat that never came.
    package var missing: Int
}

/// Where an own message is.
package enum SendStage: Int, Comparable, Sendable {
    /// In the outbox.
    case queued
    /// On the relay's disk.
    case sent
    /// On a device of the recipient; in a group, of every member who was there when it was sent.
    case delivered
    case read
    /// Among the dead letters.
    case dead

    package static func < (left: SendStage, right: SendStage) -> Bool { left.rawValue < right.rawValue }
}
