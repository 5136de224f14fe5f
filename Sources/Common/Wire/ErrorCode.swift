/// Every error that a client can get, with its HTTP status, the WebSocket close code where it ends a connection, and the hint.
/// The codes are stable once shipped; relay-protocol(7) lists them, and a test compares the two.
package enum ErrorCode: String, CaseIterable, Sendable {
    case malformed
    case unknownKind = "unknown_kind"
    case tooLarge = "too_large"
    case unauthorized
    case tokenExpired = "token_expired"
    case deviceRevoked = "device_revoked"
    case signatureInvalid = "signature_invalid"
    case challengeExpired = "challenge_expired"
    case inviteInvalid = "invite_invalid"
    case inviteUsed = "invite_used"
    case inviteExpired = "invite_expired"
    case deviceLimit = "device_limit"
    case linkUnknown = "link_unknown"
    case linkExpired = "link_expired"
    case linkUsed = "link_used"
    case linkEnded = "link_ended"
    case linkNotReady = "link_not_ready"
    case linkLimit = "link_limit"
    case userUnknown = "user_unknown"
    case chatUnknown = "chat_unknown"
    case chatWithSelf = "chat_with_self"
    case notContact = "not_contact"
    case blocked
    case youBlock = "you_block"
    case contactConflict = "contact_conflict"
    case contactLimit = "contact_limit"
    case requestUnknown = "request_unknown"
    case alreadyContact = "already_contact"
    case memberBlocked = "member_blocked"
    case recipientGone = "recipient_gone"
    case messageUnknown = "message_unknown"
    case deviceSetMismatch = "device_set_mismatch"
    case prekeyIDUsed = "prekey_id_used"
    case prekeyLimit = "prekey_limit"
    case clientMessageIDUsed = "client_message_id_used"
    case positionUnknown = "position_unknown"
    case cursorAhead = "cursor_ahead"
    case notAGroup = "not_a_group"
    case notPermitted = "not_permitted"
    case groupFull = "group_full"
    case memberUnknown = "member_unknown"
    case alreadyMember = "already_member"
    case chatLimit = "chat_limit"
    case rateLimited = "rate_limited"
    case userSuspended = "user_suspended"
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    case upgradeRequired = "upgrade_required"
    case timeout
    case replaced
    case overloaded
    case restarting
    case `internal`

    /// Status of a REST reply, and of a refused upgrade.
    package var httpStatus: Int {
        switch self {
        case .malformed, .unknownKind, .chatWithSelf, .positionUnknown, .notAGroup: 400
        case .unauthorized, .tokenExpired, .deviceRevoked, .signatureInvalid, .challengeExpired: 401
        case .inviteInvalid, .notPermitted, .userSuspended, .notContact, .blocked, .youBlock, .memberBlocked: 403
        case .requestUnknown, .userUnknown, .chatUnknown, .messageUnknown, .memberUnknown, .notFound, .linkUnknown: 404
        case .methodNotAllowed: 405
        case .timeout: 408
        case .deviceSetMismatch, .prekeyIDUsed, .clientMessageIDUsed, .replaced, .cursorAhead, .alreadyMember, .contactConflict, .alreadyContact,
            .linkUsed, .linkNotReady:
            409
        case .inviteUsed, .inviteExpired, .recipientGone, .linkExpired, .linkEnded: 410
        case .tooLarge: 413
        case .deviceLimit, .prekeyLimit, .groupFull, .chatLimit, .contactLimit, .linkLimit: 422
        case .upgradeRequired: 426
        case .rateLimited: 429
        case .internal: 500
        case .overloaded, .restarting: 503
        }
    }

    /// The close code when the error ends a WebSocket; nil when the connection goes on.
    package var closeCode: UInt16? {
        switch self {
        case .malformed: 1007
        case .tooLarge: 1009
        case .internal: 1011
        case .restarting: 1012
        case .overloaded: 1013
        case .deviceRevoked: 4403
        case .timeout: 4408
        case .replaced: 4409
        case .cursorAhead: 4410
        case .userSuspended: 4411
        default: nil
        }
    }

    /// What to do next.
    package var hint: String {
        switch self {
        case .malformed: "check the frame or body against relay-protocol(7)"
        case .unknownKind: "this relay is older than your client, or the frame is empty: see `GET /v1/info`"
        case .tooLarge: "send less: `GET /v1/info` gives max_body_bytes"
        case .unauthorized: "get a token: POST /v1/auth/challenge, then POST /v1/auth/token, then `Authorization: Bearer …`"
        case .tokenExpired: "get a new token: POST /v1/auth/challenge, then POST /v1/auth/token"
        case .deviceRevoked: "this device was removed; ask the operator for a new invite and enrol again"
        case .signatureInvalid: "sign exactly the bytes that relay-protocol(7) names, with the device's identity key"
        case .challengeExpired: "ask for a new challenge and answer it within a minute"
        case .inviteInvalid: "check the code for typing errors, or ask the operator for a new invite"
        case .inviteUsed: "an invite works once: ask the operator for a new one"
        case .inviteExpired: "ask the operator for a new invite"
        case .deviceLimit: "ask the operator to revoke one of your devices"
        case .linkUnknown: "check the code and the relay's address, or begin again on the old device: the relay may have been restarted"
        case .linkExpired: "begin again on the old device"
        case .linkUsed: "another device used the code first: if that was not yours, refuse it on the old device; begin again there"
        case .linkEnded: "the other device ended it, or is gone; begin again on the old device"
        case .linkNotReady: "the other device has not come so far: ask again"
        case .linkLimit: "end one that you began, or try again in some minutes"
        case .userUnknown: "check the name"
        case .chatUnknown: "open the chat first: POST /v1/chats"
        case .chatWithSelf: "name another user"
        case .notContact: "ask them first: POST /v1/connection/user/{userId}/recipient/{recipientId}, and send when they have accepted"
        case .blocked: "they do not want messages from you; only they can change that"
        case .youBlock: "unblock them first: PUT …/block/false"
        case .contactConflict:
            "another device of yours decided otherwise meanwhile: `contact` is how it is now; ask the person, and repeat it with that version"
        case .contactLimit: "delete or unblock somebody first; when it is the other user's list that is full, ask them"
        case .requestUnknown: "fetch your contacts again: the request was taken back, or there was none"
        case .alreadyContact: "you are contacts already: delete or block instead"
        case .memberBlocked: "leave that user out: somebody in the group blocks them, or is blocked by them"
        case .recipientGone: "the other user no longer exists on this relay; drop the message"
        case .messageUnknown: "the message was never accepted, or its retention is over"
        case .deviceSetMismatch: "fetch the chat again (GET /v1/chats/{id}), wrap the key for exactly those devices, and send again"
        case .prekeyIDUsed: "ask what the relay has (GET /v1/devices/{id}/keys/count), and number the key above that"
        case .prekeyLimit: "upload one-time prekeys when some were used: GET /v1/devices/{id}/keys/count"
        case .clientMessageIDUsed: "this number was not accepted for this message: number it above highest_client_message_id and send again"
        case .positionUnknown: "name a sequence that you were given"
        case .cursorAhead:
            "this relay never sent you that much: it was restored from a backup, or is another one; connect with cursor 0 and drop what you know by message id"
        case .notAGroup: "only groups have members to change: POST /v1/groups makes one"
        case .notPermitted: "ask an admin or the owner of the group; GET /v1/chats/{id} names them"
        case .groupFull: "remove somebody first, or make a second group"
        case .memberUnknown: "fetch the group again (GET /v1/chats/{id}): its members changed"
        case .alreadyMember: "fetch the group again (GET /v1/chats/{id}): its members changed"
        case .chatLimit: "leave a group first"
        case .rateLimited: "wait for retry_after_ms, then send again from the first one that was refused"
        case .userSuspended: "ask the operator; nothing that was sent to you is lost"
        case .notFound: "see relay-protocol(7) for the paths"
        case .methodNotAllowed: "see relay-protocol(7) for the methods"
        case .upgradeRequired: "connect with a WebSocket client, version 13"
        case .timeout: "connect again"
        case .replaced: "the device connected elsewhere; connect again only if that was not you"
        case .overloaded: "wait for retry_after_ms, then try again"
        case .restarting: "connect again after a random wait of some seconds"
        case .internal: "try again; if it stays, tell the operator the time of the error and the answer's X-Request-Id"
        }
    }
}
