import RelayCrypto
import RelayModel

/// What a session tells its owner. Everything durable is on disk before it is told.
package enum SessionEvent: Sendable {
    /// The stream is open.
    case connected
    /// What waited in the mailbox when the stream opened has come.
    case caughtUp
    /// A message of somebody else, or of another device of the same user.
    case received(HistoryEntry)
    /// An envelope that cannot be opened; the entry says why. It is acknowledged all the same.
    case unreadable(HistoryEntry)
    /// Somebody else, or another device of the same user, changed a group.
    case changed(HistoryEntry)
    /// Messages were deleted, by `user` on another device; they are not in the history any more.
    case deleted(chat: ChatID, seqs: [UInt64], forEveryone: Bool, by: UserID)
    /// An own message, change or deletion is on the relay's disk.
    case sent(id: Int64, SentPlace)
    case dead(DeadLetter)
    /// A member's watermarks moved.
    case receipt(chat: ChatID, user: UserID, Watermarks)
    /// Contacts changed, on the relay or by a decision here.
    case contacts([KnownContact])
    /// The relay did what was decided about a contact on this device.
    case decided(ContactDecision)
    /// Another device decided otherwise meanwhile: nothing happens until the person says what holds.
    case conflict(ContactDecision, KnownContact)
    /// The relay refused; the decision is dropped.
    case decisionRefused(ContactDecision, Refusal)
    /// This device's agreement key was replaced: the relay has the new one, under this number.
    case keyReplaced(version: UInt32)
    /// Keys of a device that were given are not taken; what was known before stays.
    case keysRefused(user: UserID, name: String?, DeviceID, KeyRefusal)
    /// A message that could not be read was sent again by its device: it is in its old place.
    case recovered(HistoryEntry)
    /// A message of this device is sent again, for a device of `user` that could not read it.
    case resending(chat: ChatID, seq: UInt64, user: UserID, name: String?)
    /// Contacts came or went, or what they share changed; with `isSnapshot` all of whom there is something to tell. Not on disk.
    case presence([KnownPresence], isSnapshot: Bool)
    /// The stream ended; the next attempt follows after the wait.
    case disconnected(ClientError, retryIn: Duration)
    /// Closing left the database's log as it was: it may hold what was deleted until it is emptied at the next end.
    case logNotEmptied(ClientError)
    /// The session ended by itself and does not come back: the device was revoked or replaced, or the disk failed.
    case ended(ClientError)
}

/// How a session behaves. Tests put their own time and randomness in.
package struct SessionSettings: Sendable {
    package var clock: any WallClock = SystemWallClock()
    package var entropy: any Entropy = SystemEntropy()
    /// For jitter only.
    package var jitterSeed: UInt64?
    package var backoff = Backoff()
    /// Tell the relay that the person has read each message once it is stored.
    package var readsEverything = false
    /// Refuse to write to somebody who blocks or is blocked. Tests turn it off to see the relay do it.
    package var stopsBlockedSends = true
    /// Keep from the person what somebody writes whom they block. Tests turn it off to see the relay do it.
    package var hidesBlockedSenders = true
    /// The agreement key is replaced when it is older. Nil: only when somebody asks for it.
    package var replacesKeyAfter: Duration? = Limits.agreementKeyAge
    /// How the session takes part in presence; nil: not at all.
    package var presence: PresencePart?
    package init() {}
}
