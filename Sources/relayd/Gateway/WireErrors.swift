import RelayDirectory
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayWire

/// A failure as a client gets it. This file alone decides which failure of the relay's inside becomes which code.
struct WireFailure: Error {
    var code: ErrorCode
    var message: String
    var retryAfter: Duration?
    var devices: [DeviceSetDifference] = []
    var highestClientMessageID: UInt64 = 0
    /// With `contact_conflict`.
    var contact: ContactRow?
    /// For `method_not_allowed`: the methods that the path has.
    var allow: String?

    init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
        if code == .overloaded { retryAfter = Limits.overloadedRetry }
    }

    /// For the header `Retry-After`: rounded up, so that nobody comes too early.
    var retryAfterSeconds: Int64? { retryAfter.map { max(1, ($0.milliseconds + 999) / 1000) } }

    var wire: Relay_V1_Error {
        var error = Relay_V1_Error()
        error.code = code.rawValue
        error.message = message
        error.hint = code.hint
        if let retryAfter { error.retryAfterMs = UInt32(clamping: retryAfter.milliseconds) }
        error.devices = devices.map { difference in
            var wire = Relay_V1_DeviceDifference()
            wire.userID = difference.user.rawValue
            wire.missing = difference.missing.map(\.rawValue)
            wire.extra = difference.extra.map(\.rawValue)
            wire.stale = difference.stale.map(\.rawValue)
            return wire
        }
        error.highestClientMessageID = highestClientMessageID
        if let contact { error.contact = ServerFrames.contact(contact) }
        return error
    }

    /// - Parameter wait: nanoseconds until it makes sense to ask again; rounded up to milliseconds.
    static func rateLimited(_ what: String, wait: Int64, atLeast: Duration = Limits.rateLimitedRetry) -> WireFailure {
        var failure = WireFailure(.rateLimited, what)
        failure.retryAfter = max(.milliseconds((wait + 999_999) / 1_000_000), atLeast)
        return failure
    }

    static func malformed(_ what: String) -> WireFailure { WireFailure(.malformed, what) }
    static let overloaded = WireFailure(.overloaded, "the relay has more to do than it can store")
    static let suspended = WireFailure(.userSuspended, "the user is suspended")
    static let stopping = WireFailure(.restarting, "the relay is stopping")
    static let storeFailed = WireFailure(.internal, "the relay cannot read or write its store")
}

extension WireFailure {
    init(_ rejection: Rejection) {
        switch rejection {
        case .userUnknown: self.init(.userUnknown, "no such user")
        case .deviceUnknown: self.init(.deviceRevoked, "no such device")
        case .deviceLimitReached(let limit): self.init(.deviceLimit, "the user already has \(limit) devices")
        case .inviteUnknown: self.init(.inviteInvalid, "no such invite")
        case .inviteUsed: self.init(.inviteUsed, "the invite was used before")
        case .inviteExpired: self.init(.inviteExpired, "the invite has expired")
        case .inviteRevoked: self.init(.inviteInvalid, "the invite was revoked")
        case .chatUnknown: self.init(.chatUnknown, "no such chat, or you are not in it")
        case .chatWithSelf: self.init(.chatWithSelf, "a chat needs another user")
        case .contactWithSelf: self = .malformed("a contact is another user")
        case .contact(.noRequest): self.init(.requestUnknown, "there is no request of theirs")
        case .contact(.alreadyAccepted): self.init(.alreadyContact, "you have accepted them already")
        case .contact(.youBlock), .notContact(.blockedByMe, _): self.init(.youBlock, "you block this user")
        case .contact(.theyBlock), .notContact(.blockedByThem, _), .notContact(.blockedByBoth, _):
            self.init(.blocked, "this user blocks you")
        case .notContact: self.init(.notContact, "you are not this user's contact")
        case .notContacts(let users):
            self.init(.notContact, "not your contacts: user \(users.prefix(10).map(\.description).joined(separator: ", "))")
        case .memberBlocked: self.init(.memberBlocked, "somebody who is named and somebody in the group block one another")
        case .contactLimitReached(let limit): self.init(.contactLimit, "a user has at most \(limit) contacts")
        case .contactRequestsFull: self.init(.contactLimit, "this user has too many requests that are not answered")
        case .userSuspended: self = .suspended
        case .recipientGone: self.init(.recipientGone, "the other user of the chat is gone")
        case .deviceSetMismatch(let devices):
            self.init(.deviceSetMismatch, "the wrapped keys do not fit the members' devices")
            self.devices = devices
        case .prekeyIDUsed(let highest): self.init(.prekeyIDUsed, "ids of prekeys rise, and this device's are up to \(highest)")
        case .prekeyLimitReached(let limit): self.init(.prekeyLimit, "a device has at most \(limit) one-time prekeys here")
        case .keyChangesTooOften: self.init(.rateLimited, "the device changes its keys too often")
        case .clientMessageIDUsed(let highest):
            self.init(.clientMessageIDUsed, "this device used the client message id before")
            highestClientMessageID = highest
        case .positionUnknown: self.init(.positionUnknown, "the sequence is beyond the end")
        case .notAGroup: self.init(.notAGroup, "the chat is no group")
        case .notPermitted: self.init(.notPermitted, "your role in the group does not allow it")
        case .notDeletable:
            self.init(.notPermitted, "for everyone one deletes one's own messages only, an admin those of the group; changes and deletions stay")
        case .groupFull(let limit): self.init(.groupFull, "a group has at most \(limit) members")
        case .memberUnknown: self.init(.memberUnknown, "somebody who is named is no member")
        case .alreadyMember: self.init(.alreadyMember, "somebody who is named is a member already")
        case .chatLimitReached(let limit): self.init(.chatLimit, "a user is in at most \(limit) chats")
        case .changeInvalid: self = .malformed("the change names the wrong users, or a role or body that does not belong to it")
        // An operator's requests only; no client can cause them.
        case .userNameTaken, .userLimitReached, .inviteLimitReached, .planOutdated, .erasurePending, .erasureUnknown, .keysUnknown:
            self.init(.internal, "an answer that is not for clients")
        }
    }

    init(_ error: DirectoryError) {
        switch error {
        case .invalidName(let reason): self = .malformed(reason.description)
        case .invalid(let text): self = .malformed(text)
        case .rejected(let rejection): self.init(rejection)
        case .unauthorized: self.init(.unauthorized, "the token is missing or wrong")
        case .tokenExpired: self.init(.tokenExpired, "the token has expired")
        case .deviceRevoked: self.init(.deviceRevoked, "the device was revoked")
        case .userSuspended: self = .suspended
        case .signatureInvalid: self.init(.signatureInvalid, "the signature does not fit")
        case .challengeExpired: self.init(.challengeExpired, "the challenge is unknown, used or too old")
        case .link(let refusal): self.init(refusal)
        case .contactConflict(let contact):
            self.init(.contactConflict, "another device of yours decided otherwise meanwhile")
            self.contact = contact
        case .overloaded: self = .overloaded
        case .stopping: self = .stopping
        case .storeFailed: self = .storeFailed
        }
    }

    init(_ refusal: LinkRefusal) {
        switch refusal {
        case .unknown: self.init(.linkUnknown, "no such link")
        case .expired: self.init(.linkExpired, "the link has expired")
        case .used: self.init(.linkUsed, "the link was used by another device")
        case .ended: self.init(.linkEnded, "the link was ended")
        case .notReady: self.init(.linkNotReady, "the other device has not come so far")
        case .limit: self.init(.linkLimit, "too many devices are being linked")
        case .part(let what): self = .malformed(what)
        case .stopping: self = .stopping
        }
    }

    init(_ error: SendingError) {
        switch error {
        case .rejected(let rejection): self.init(rejection)
        case .overloaded: self = .overloaded
        case .stopping: self = .stopping
        case .storeFailed: self = .storeFailed
        case .messageUnknown: self.init(.messageUnknown, "no such message of this device")
        }
    }
}

extension StreamEnd {
    var code: ErrorCode {
        switch self {
        case .revoked: .deviceRevoked
        case .suspended: .userSuspended
        case .replaced: .replaced
        case .restarting: .restarting
        case .cursorAhead: .cursorAhead
        case .overloaded: .overloaded
        case .storeFailed: .internal
        }
    }
}
