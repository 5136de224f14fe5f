import RelayModel

/// What became of a command. A rejected command changed nothing.
package enum Outcome: Sendable {
    case done
    case userAdded(UserID, invite: InviteID)
    case inviteAdded(InviteID)
    case enrolled(Enrolled)
    case deviceRevoked(KeyChange)
    case keysSet(KeysSet)
    case prekeys(TakenPrekeys)
    case chatOpened(ChatID)
    case contact(ContactOutcome)
    /// Another device decided otherwise meanwhile: how it is now.
    case contactConflict(ContactRow)
    /// The user is to be erased then.
    case erasureAsked(Timestamp)
    /// Nobody erases the user any more, who may still be suspended.
    case erasureCancelled(suspended: Bool)
    case keysRevoked(KeysRevoked)
    /// How many replaced keys are not valid any more.
    case keysExpired(Int)
    case userGone(UserGone)
    case sent(SentOutcome)
    /// It was sent before, or never accepted: a reader finds out.
    case retried(Retry)
    /// What the user shares now.
    case presenceSet(PresenceSharing)
    /// The receipts that an acknowledgement or a read moved.
    case receipts([MovedReceipt])
    /// `remaining`: there is more to remove. `publication`: what the members of a group hear of it.
    case removed(rows: Int, remaining: Bool, Publication?)
    /// `unread`: messages that no device of a recipient had, by recipient. `took`: the writer, without the commit.
    case purged(rows: Int, unread: [UserID: Int], took: Duration)
    /// `remaining`: there are more pages to give back. `took`: the writer, without the commit.
    case released(pages: Int, remaining: Bool, took: Duration)
    case rejected(Rejection)
}

package struct Enrolled: Sendable {
    package var user: UserID
    package var userName: UserName
    package var device: DeviceID
    /// Nil when the device was there before.
    package var change: KeyChange?

    package init(user: UserID, userName: UserName, device: DeviceID, change: KeyChange? = nil) {
        self.user = user
        self.userName = userName
        self.device = device
        self.change = change
    }
}

/// A user who was removed, or whose erasure has begun.
package struct UserGone: Sendable {
    package var user: UserID
    /// Those that were active; they are revoked.
    package var devices: [DeviceID]
    /// Of those who had the user for a contact.
    package var contacts: [ContactChange]
}

/// The place that a message, a change of a group or a deletion got.
package struct SentOutcome: Sendable {
    package var chat: ChatID
    package var clientMessageID: UInt64
    package var message: MessageID
    package var chatSeq: UInt64
    /// Nil for a retry: it was delivered before.
    package var publication: Publication?
    package init(chat: ChatID, clientMessageID: UInt64, message: MessageID, chatSeq: UInt64, publication: Publication? = nil) {
        self.chat = chat
        self.clientMessageID = clientMessageID
        self.message = message
        self.chatSeq = chatSeq
        self.publication = publication
    }
}

/// A committed envelope with everybody whose mailbox it is in.
package struct Publication: Sendable {
    /// Without keys: those of each member are in `keys`.
    package var envelope: StoredEnvelope
    /// In the order of their identifiers.
    package var audience: [UserID]
    /// In the same order; a member without devices has no entry.
    package var keys: [MemberKeys]
}

/// Why a command was refused.
package enum Rejection: Error, Sendable, Equatable {
    case userNameTaken
    case userUnknown
    /// The user may not send until an operator resumes them.
    case userSuspended
    case userLimitReached
    /// What the operator saw before is not so any more.
    case planOutdated
    /// The user is to be erased then; cancel that first.
    case erasurePending(until: Timestamp)
    /// Nobody erases the user, or it has begun and cannot be undone.
    case erasureUnknown
    /// The device has no such keys.
    case keysUnknown
    case deviceUnknown
    case deviceLimitReached(limit: Int)
    case inviteUnknown
    case inviteUsed
    case inviteExpired
    case inviteRevoked
    case inviteLimitReached(limit: Int)
    case chatUnknown
    case chatWithSelf
    case contactWithSelf
    case contact(ContactRefusal)
    case contactLimitReached(limit: Int)
    /// The other user has too many requests that are not answered.
    case contactRequestsFull
    /// Messages do not pass between the two; what the sender is told of it, since which version.
    case notContact(ContactState, version: UInt64)
    /// Whoever brings users into a group must be their contact.
    case notContacts([UserID])
    /// Somebody in the group blocks, or is blocked by, somebody who is to come.
    case memberBlocked
    /// The other user of the chat no longer exists.
    case recipientGone
    /// The wrapped keys do not fit the members' active devices.
    case deviceSetMismatch([DeviceSetDifference])
    /// A prekey of this id is not new; the highest one that the device ever uploaded.
    case prekeyIDUsed(highest: UInt64)
    case prekeyLimitReached(limit: Int)
    /// The device changes its keys too often; from then on it may again.
    case keyChangesTooOften(until: Timestamp)
    /// The device used this number before, for another message or one that is gone.
    case clientMessageIDUsed(highest: UInt64)
    /// A watermark or a deletion beyond the end of the chat or mailbox.
    case positionUnknown
    case notAGroup
    /// The role in the group does not allow it.
    case notPermitted
    /// The message is somebody else's, or is none that can be deleted.
    case notDeletable
    case groupFull(limit: Int)
    case memberUnknown
    case alreadyMember
    case chatLimitReached(limit: Int)
    /// The named users or the role do not fit the action.
    case changeInvalid
}

/// What to add to and to leave out of one member's wrapped keys.
package struct DeviceSetDifference: Sendable, Equatable {
    package var user: UserID
    package var missing: [DeviceID]
    package var extra: [DeviceID]
    /// The key was wrapped to an agreement key that is no longer valid.
    package var stale: [DeviceID] = []
}

/// What became of an action on a contact.
package struct ContactOutcome: Sendable {
    /// How the user has it now.
    package var contact: ContactRow
    /// Whom it changed for: the user, and the other one unless they are not told.
    package var changes: [ContactChange]
    /// Groups that the user was taken out of.
    package var publications: [Publication]
    /// There are more such groups: the same command again takes the user out of them.
    package var remaining = false
    /// The user blocks the other one, and did not before.
    package var isNewBlock = false
}

package struct ContactChange: Sendable {
    package var user: UserID
    package var row: ContactRow
}

/// A receipt that moved, and who is told.
package struct MovedReceipt: Sendable {
    package var row: ReceiptRow
    package var audience: [UserID]
}
