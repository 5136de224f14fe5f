import RelayModel

// What commands, outcomes and readers say about erasing users.

/// Erases a user after a time of grace, in which they are out as with a suspension. Of a user who is to be erased already it moves the time.
package struct EraseUser: Codable, Sendable {
    package var user: UserID
    /// What ``Reader/erasureFingerprint(of:grace:)`` said when the operator looked.
    package var fingerprint: UInt64
    /// From the command's stamp on; 0 begins at once.
    package var graceMilliseconds: Int64
    /// Of the operator, for what the audit log says at the end.
    package var uid: UInt32
    package init(user: UserID, fingerprint: UInt64, grace: Duration, uid: UInt32) {
        self.user = user
        self.fingerprint = fingerprint
        graceMilliseconds = grace.milliseconds
        self.uid = uid
    }
}

/// What an erasure goes through: the tables, and the wrapped keys that are part of messages.
package enum ErasedPart: String, Codable, Sendable, CaseIterable {
    case users, invites, devices, prekeys
    case oneTimePrekeys = "one_time_prekeys"
    case keyProgress = "key_progress"
    case progress, contacts, chats, members, messages
    /// One member's keys of one message, wherever they stand.
    case wrappedKeys = "message_keys"
    case hidden, receipts, alerts, audit
}

/// An erasure that goes on, or whose grace does.
package struct ErasureRow: Sendable, Equatable {
    package var user: UserID
    /// Nil once it has begun.
    package var name: UserName?
    package var asked: Timestamp
    package var due: Timestamp
    package var hasBegun: Bool
}

/// Rows of a user by the part that they belong to.
package struct ErasureCounts: Sendable, Equatable {
    /// What an erasure takes away. Audit entries are not deleted: these are the ones whose name it replaces.
    package var gone: [ErasedPart: Int] = [:]
    /// What it leaves, as bare numbers.
    package var stays: [ErasedPart: Int] = [:]

    package init() {}
}

/// The order in which an erasure goes. Each step is done again after a crash, from where it was; what is done already is not there any more.
enum ErasureStep: Int64 {
    /// Their name in the audit log.
    case audit
    /// The user's own marks, which may be many; with a chat all that are left of it go at once.
    case hidden
    /// Messages, and then chats, that nobody else can read. Before the groups: nobody is there to hear that the user leaves.
    case desertedMessages
    case desertedChats
    case groups
    /// The keys of other people's messages that are wrapped for the user's devices.
    case wrappedKeys
    /// Ended contacts that the user's own list has forgotten.
    case forgottenContacts
    case stays
    case devices
    case done
}

/// How a name goes out of texts that stay.
enum ErasedName {
    /// In the place of the name; no user can be called so.
    static func mark(_ user: UserID) -> String { "erased:\(user)" }

    /// The subject of an audit entry without the name; nil when the name is not in it. Names stand between spaces.
    static func redact(subject: String, name: String, user: UserID) -> String? {
        let words = subject.split(separator: " ", omittingEmptySubsequences: false)
        guard words.contains(where: { $0 == name }) else { return nil }
        return words.map { $0 == name ? mark(user) : String($0) }.joined(separator: " ")
    }

    /// What an operator wrote without the name as a word of its own, however it is spelled, and without the display name.
    static func redact(text: String, name: String, displayName: String?, user: UserID) -> String {
        var rest = text[...]
        var result = ""
        while let first = rest.first {
            let isWord = belongsToName(first)
            let run = rest.prefix { belongsToName($0) == isWord }
            rest = rest.dropFirst(run.count)
            let core = run.drop { $0 == "." || $0 == "-" }
            let trimmed = core.reversed().drop { $0 == "." || $0 == "-" }.reversed()
            if isWord, (try? UserName(String(trimmed)).text) == name || (try? UserName(String(run)).text) == name {
                result += mark(user)
            } else {
                result += run
            }
        }
        guard let displayName, !displayName.isEmpty else { return result }
        return result.split(separator: displayName, omittingEmptySubsequences: false).joined(separator: mark(user))
    }

    private static func belongsToName(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "." || character == "_" || character == "-"
    }
}

/// What an operator writes about an erasure, which stays.
package enum ReasonText {
    /// Whether neither the user's name nor the display name is in it.
    package static func isFree(_ text: String, of user: UserRow) -> Bool {
        ErasedName.redact(text: text, name: user.name.text, displayName: user.displayName, user: user.id) == text
    }
}
