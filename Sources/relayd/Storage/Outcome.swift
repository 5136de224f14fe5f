import RelayModel

/// What became of a command. A rejected command changed nothing.
package enum Outcome: Sendable {
    case done
    case userAdded(UserID, invite: InviteID)
    case inviteAdded(InviteID)
    case enrolled(Enrolled)
    case chatOpened(ChatID)
    case sent(SentOutcome)
    /// The receipts that an acknowledgement or a read moved.
    case receipts([MovedReceipt])
    /// `remaining`: there are more rows to remove.
    case removed(rows: Int, remaining: Bool)
    case rejected(Rejection)
}

package struct Enrolled: Sendable {
    package var user: UserID
    package var userName: UserName
    package var device: DeviceID
}

/// The place that a message got.
package struct SentOutcome: Sendable {
    package var chat: ChatID
    package var clientMessageID: UInt64
    package var message: MessageID
    package var chatSeq: UInt64
    /// Where it went in each member's mailbox, in the order of the chat's members. Empty for a retry: it was delivered before.
    package var mailboxes: [MailboxPlace]
}

package struct MailboxPlace: Sendable {
    package var user: UserID
    package var seq: UInt64
}

/// Why a command was refused.
package enum Rejection: Error, Sendable, Equatable {
    case userNameTaken
    case userUnknown
    /// The user may not send until an operator resumes them.
    case userSuspended
    case userLimitReached
    case deviceUnknown
    case deviceLimitReached(limit: Int)
    case inviteUnknown
    case inviteUsed
    case inviteExpired
    case inviteRevoked
    case inviteLimitReached(limit: Int)
    case chatUnknown
    case chatWithSelf
    /// The other user of the chat no longer exists.
    case recipientGone
    /// The wrapped keys do not fit the members' active devices.
    case deviceSetMismatch([DeviceSetDifference])
    /// The device used this number before, for another message or one that is gone.
    case clientMessageIDUsed(highest: UInt64)
    /// A watermark beyond the end of the chat or mailbox.
    case positionUnknown
}

/// What to add to and to leave out of one member's wrapped keys.
package struct DeviceSetDifference: Sendable, Equatable {
    package var user: UserID
    package var missing: [DeviceID]
    package var extra: [DeviceID]
}

/// A receipt that moved, and who may know.
package struct MovedReceipt: Sendable {
    package var row: ReceiptRow
    package var members: [UserID]
}
