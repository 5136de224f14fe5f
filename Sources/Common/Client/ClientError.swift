import RelayModel

/// Why the client cannot do what it was asked. `description` says what happened, ``hint`` what to do next. Neither holds secrets or content.
package enum ClientError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The state directory or a file in it cannot be used as it is.
    case state(path: String, problem: String, hint: String)
    /// Another process works with the state directory.
    case locked(path: String)
    case notEnrolled(path: String)
    case alreadyEnrolled(path: String)
    /// The text is no invite link.
    case link(String)
    /// The text is no code that links a device.
    case linkCode(String)
    /// What came from the other device was not sealed by it.
    case linkBroken(String)
    /// The person did not admit the new device.
    case linkRefused
    /// The text cannot be a user's name.
    case userName(String)
    /// No group of this title or number is known here.
    case groupUnknown(String)
    /// No chat of this name, title or number is known here.
    case chatUnknown(String)
    /// The title names several chats.
    case ambiguousGroup(title: String, [ChatID])
    /// What was asked for makes no sense; the texts say what and what to do.
    case request(String, hint: String?)
    /// The relay cannot be reached, or its connection broke.
    case unreachable(String)
    /// Something answers, but it is not certain that it is the relay, or that nobody listens.
    case insecure(String, hint: String)
    /// What answers does not follow relay-protocol(7).
    case protocolViolation(String)
    /// The relay refused.
    case refused(Refusal)
    /// The relay ended this device.
    case revoked(String)
    /// The device is connected from elsewhere.
    case replaced
    /// The state's database failed; nothing after the failure was acknowledged.
    case store(String)
    /// Nothing is written to somebody who is blocked.
    case youBlock(String)
    /// Nothing is written to somebody who blocks this user.
    case blocked(String)
    /// The relay has it otherwise than it was decided here, and the person has not said what holds.
    case contactConflict(String)
    /// More decisions about contacts wait than are kept.
    case decisionsFull(limit: Int)
    /// More messages wait than the outbox holds.
    case outboxFull(limit: Int)
    case timeout(String)
    /// The session was stopped while something waited for it.
    case stopped

    package var description: String {
        switch self {
        case .state(let path, let problem, _): "\(path) \(problem)"
        case .locked(let path): "\(path) is in use by another process"
        case .notEnrolled(let path): "\(path) holds no enrolled device"
        case .alreadyEnrolled(let path): "\(path) holds an enrolled device already"
        case .link(let why): "this is not an invite link: \(why)"
        case .linkCode(let why): "this is no code that links a device: \(why)"
        case .linkBroken(let why): "what came does not fit the code: \(why)"
        case .linkRefused: "the new device was not admitted; nothing was added"
        case .userName(let why): why
        case .groupUnknown(let text): "this device knows no group “\(text)”"
        case .chatUnknown(let text): "this device knows no chat “\(text)”"
        case .ambiguousGroup(let title, let chats): "“\(title)” is the name of several chats: \(chats.map(\.description).joined(separator: ", "))"
        case .request(let problem, _): problem
        case .unreachable(let why): "the relay cannot be reached: \(why)"
        case .insecure(let why, _): "there is no secure connection to the relay: \(why)"
        case .protocolViolation(let why): "the relay's answer does not follow the protocol: \(why)"
        case .refused(let refusal): refusal.message.isEmpty ? "the relay refused: \(refusal.code)" : "\(refusal.message) (\(refusal.code))"
        case .revoked(let message): message.isEmpty ? "this device was removed from the relay (device_revoked)" : "\(message) (device_revoked)"
        case .replaced: "this device is connected from elsewhere (replaced)"
        case .store(let why): "the client's database failed: \(why)"
        case .youBlock(let name): "you block \(name)"
        case .blocked(let name): "\(name) blocks you"
        case .contactConflict(let name): "what you decided about \(name) is in conflict with what another device of yours decided"
        case .decisionsFull(let limit): "\(limit) decisions about contacts wait for the relay"
        case .outboxFull(let limit): "the outbox is full: \(limit) messages wait"
        case .timeout(let what): "timed out: \(what)"
        case .stopped: "the client was stopped"
        }
    }

    /// What to do next.
    package var hint: String? {
        switch self {
        case .state(_, _, let hint): hint
        case .locked: "wait until it is done, or name another directory with --state"
        case .notEnrolled: "enrol first: chatctl client enrol LINK --state DIR --device NAME"
        case .alreadyEnrolled: "name another directory: one device, one directory"
        case .link: "it looks like http://host:port/enrol#CODE; `chatctl invite create` prints one"
        case .linkCode: "`chatctl client link start` on the old device shows one; with the code alone, name the relay with --relay"
        case .linkBroken: "begin again on the old device; if it stays, somebody is between the two: do not link over this relay"
        case .linkRefused: "begin again with `chatctl client link start` if that was a mistake"
        case .userName: nil
        case .groupUnknown:
            "`chatctl client group list` lists the groups; a new member or device knows one once `chatctl client listen` has received something in it"
        case .chatUnknown: "`chatctl client status` lists the chats"
        case .ambiguousGroup: "give the number instead; `chatctl client status` says which is which"
        case .request(_, let hint): hint
        case .unreachable: "is relayd running, and is the address right?"
        case .insecure(_, let hint): hint
        case .protocolViolation: "is it relayd, of a version that this client knows?"
        case .refused(let refusal): refusal.hint.isEmpty ? nil : refusal.hint
        case .revoked: "ask the operator for a new invite and enrol again, in another directory"
        case .replaced: "end the other client of this device first"
        case .store: "check the disk and its free space, then try again"
        case .youBlock(let name): "unblock them first: chatctl client contacts unblock \(name)"
        case .blocked: "only they can change that"
        case .contactConflict(let name):
            "say what holds: chatctl client contacts resolve \(name) --keep-relay, or --repeat-mine; `contacts list` shows both"
        case .decisionsFull: "connect, so that they are sent: chatctl client listen --until-caught-up"
        case .outboxFull: "let it drain first"
        case .timeout: "try again with a longer --timeout; what waits in the outbox is kept"
        case .stopped: nil
        }
    }
}

/// An error that the relay sent, as a value.
package struct Refusal: Sendable, Equatable {
    /// One of the codes in relay-protocol(7), ERRORS.
    package var code: String
    package var message: String
    package var hint: String
    /// 0 when it came over the WebSocket.
    package var status: Int
    package var retryAfter: Duration?
    package var highestClientMessageID: UInt64
    /// With `contact_conflict`: how the relay has it now.
    package var contact: RelayContact?

    package init(
        code: String, message: String = "", hint: String = "", status: Int = 0, retryAfter: Duration? = nil, highestClientMessageID: UInt64 = 0,
        contact: RelayContact? = nil
    ) {
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.retryAfter = retryAfter
        self.highestClientMessageID = highestClientMessageID
        self.contact = contact
    }

    /// The same request may succeed later.
    var isTemporary: Bool {
        ["overloaded", "rate_limited", "user_suspended", "restarting", "internal", "timeout"].contains(code) || status >= 500 || status == 408
    }
}
