import RelayModel

/// What an erasure means for one part of the store.
package struct ErasureEntry: Codable, Sendable, Equatable {
    /// A table of the store, such as `devices`.
    package var part: String
    /// Rows that go, or have gone; of the audit log entries that lose the name.
    package var goes: Int
    /// Rows that stay.
    package var stays: Int
    /// What of it goes, and why the rest stays.
    package var why: String
    package init(part: String, goes: Int, stays: Int, why: String) {
        self.part = part
        self.goes = goes
        self.stays = stays
        self.why = why
    }
}

/// Part by part what an erasure takes and leaves: before it, or when it is done.
package struct ErasureReport: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable { case planned, pending, erased }
    package var user: String
    package var id: UserID
    package var state: State
    /// Between `apply` and the erasure; 0: none.
    package var graceSeconds: Int
    /// When the user is erased; absent in a plan, and when they are.
    package var dueAt: Timestamp?
    /// What `apply` is given.
    package var plan: String
    /// Absent while the erasure is pending.
    package var entries: [ErasureEntry]?
    /// What is not a table.
    package var files: [ErasureFile]?
    package init(
        user: String, id: UserID, state: State, graceSeconds: Int, dueAt: Timestamp?, plan: String, entries: [ErasureEntry]?, files: [ErasureFile]?
    ) {
        self.user = user
        self.id = id
        self.state = state
        self.graceSeconds = graceSeconds
        self.dueAt = dueAt
        self.plan = plan
        self.entries = entries
        self.files = files
    }
}

package struct ErasureFile: Codable, Sendable, Equatable {
    package var file: String
    /// It still has something of the user.
    package var holds: Bool
    package var why: String
    package init(file: String, holds: Bool, why: String) {
        self.file = file
        self.holds = holds
        self.why = why
    }
}

/// What erasing a user would take and leave, and the fingerprint with which it can be done.
package struct UserErasePlan: ControlOperation {
    package static let name = ControlOperationName.userErasePlan
    package static let patience = Limits.longControlPatience
    package var user: String
    /// 0: at once; the relay's default when absent.
    package var graceSeconds: Int?
    package init(user: String, graceSeconds: Int? = nil) {
        self.user = user
        self.graceSeconds = graceSeconds
    }
    package typealias Reply = ErasureReport
}

/// Erases a user, at once or after a time of grace in which they are out. Refused when the user is not as they were when the plan was made.
package struct UserEraseApply: ControlOperation {
    package static let name = ControlOperationName.userEraseApply
    package static let patience = Limits.longControlPatience
    package var user: String
    /// From the plan.
    package var plan: String
    /// As in the plan.
    package var graceSeconds: Int?
    /// For the audit log; must not name the user.
    package var reason: String
    package init(user: String, plan: String, graceSeconds: Int? = nil, reason: String) {
        self.user = user
        self.plan = plan
        self.graceSeconds = graceSeconds
        self.reason = reason
    }
    package typealias Reply = ErasureReport
}

/// Brings a user back who is to be erased.
package struct UserEraseCancel: ControlOperation {
    package static let name = ControlOperationName.userEraseCancel
    package var user: String
    package var reason: String?
    package init(user: String, reason: String? = nil) {
        self.user = user
        self.reason = reason
    }
    package typealias Reply = UserRecord
}

package struct ErasureRecord: Codable, Sendable, Equatable {
    package var id: UserID
    /// Absent once the erasure has begun.
    package var user: String?
    package var askedAt: Timestamp
    /// When the grace is over.
    package var dueAt: Timestamp
    /// The rows are going, and the user cannot be brought back.
    package var hasBegun: Bool
    package init(id: UserID, user: String?, askedAt: Timestamp, dueAt: Timestamp, hasBegun: Bool) {
        self.id = id
        self.user = user
        self.askedAt = askedAt
        self.dueAt = dueAt
        self.hasBegun = hasBegun
    }
}

/// Who is to be erased, the next one first; at most 500.
package struct UserEraseStatus: ControlOperation {
    package static let name = ControlOperationName.userEraseStatus
    /// Only this one.
    package var user: String?
    package init(user: String? = nil) { self.user = user }
    package struct Reply: Codable, Sendable {
        package var erasures: [ErasureRecord]
        package init(erasures: [ErasureRecord]) { self.erasures = erasures }
    }
}
