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
}

/// A message that waits to be accepted by the relay.
package struct OutboxEntry: Sendable, Equatable {
    /// Names the message on this device for ever, also when it is in the history or among the dead letters.
    package var id: Int64
    /// The recipient's user name.
    package var recipient: String
    package var text: String
    package var writtenAt: Timestamp
    package var chat: ChatID?
    /// Set once it is sealed.
    package var clientMessageID: UInt64?
}

/// A message that will not be accepted as things are, and why.
package struct DeadLetter: Sendable, Equatable {
    package var id: Int64
    package var recipient: String
    package var text: String
    package var writtenAt: Timestamp
    /// One of the relay's error codes, or `keys_invalid`, `key_changed`, `content_too_large`.
    package var code: String
    package var reason: String
}

/// A message in a chat: received, or sent and accepted.
package struct HistoryEntry: Sendable, Equatable {
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
    /// The other member's name, when it is known.
    package var with: String?

    /// The ``problem`` of what was in the mailbox before the device existed: nobody wrapped a key for it.
    package static let beforeEnrolment = "sent before this device was enrolled"
}

/// Where the relay put an own message.
package struct SentPlace: Sendable, Equatable {
    package var chat: ChatID
    package var clientMessageID: UInt64
    package var message: MessageID
    package var chatSeq: UInt64
    package var sentAt: Timestamp
}

/// A member's watermarks in a chat.
package struct Watermarks: Sendable, Equatable {
    package var delivered: UInt64
    package var read: UInt64
}

/// A chat on one line.
package struct ChatSummary: Sendable, Equatable {
    package var chat: ChatID
    /// The other member's name, when it is known.
    package var with: String?
    /// Messages in the history, whoever sent them.
    package var messages: Int
    /// Messages that this device sent; of these, how many the other member has got and read.
    package var sent: Int
    package var delivered: Int
    package var read: Int
    /// The other member's watermarks.
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
    /// On a device of the recipient.
    case delivered
    case read
    /// Among the dead letters.
    case dead

    package static func < (left: SendStage, right: SendStage) -> Bool { left.rawValue < right.rawValue }
}
