import RelayMetrics
import RelayStorage

extension Command {
    /// What a device numbers: messages, changes of groups, deletions.
    var isSending: Bool {
        switch self {
        case .send, .changeGroup, .delete: true
        default: false
        }
    }
}

extension Rejection {
    /// As metrics count it. That somebody blocks somebody is not told from other things that are not permitted.
    package var sendResult: SendResult {
        switch self {
        case .chatUnknown, .userUnknown, .deviceUnknown, .recipientGone, .memberUnknown, .positionUnknown: .notFound
        case .notContact, .notContacts, .memberBlocked, .contact, .notPermitted, .notDeletable, .userSuspended: .notPermitted
        case .deviceSetMismatch: .deviceSet
        case .clientMessageIDUsed, .prekeyIDUsed, .alreadyMember: .conflict
        case .groupFull, .chatLimitReached, .contactLimitReached, .contactRequestsFull, .deviceLimitReached, .prekeyLimitReached: .limitReached
        case .keyChangesTooOften: .rateLimited
        case .chatWithSelf, .contactWithSelf, .notAGroup, .changeInvalid: .malformed
        case .inviteUnknown, .inviteUsed, .inviteExpired, .inviteRevoked, .userNameTaken, .userLimitReached, .inviteLimitReached, .planOutdated,
            .erasurePending, .erasureUnknown, .keysUnknown:
            .failed
        }
    }
}
