/// What kind of chat it is; fixed when it is made. The numbers are those of the store.
package enum ChatKind: UInt8, Codable, Sendable {
    /// Two users.
    case direct = 0
    case group = 1
    /// A user's own devices only. The relay makes it when it is first needed; it carries what one device tells the others.
    case notes = 2
}

/// A change of a group. The numbers are those of the store and of the wire.
package enum GroupAction: UInt8, Codable, Sendable, CaseIterable {
    case create = 1
    case add = 2
    case remove = 3
    case leave = 4
    case rename = 5
    case setRole = 6
}

/// What a member of a group may do; a higher role may all that a lower one may. The numbers are those of the store and of the wire.
package enum GroupRole: UInt8, Codable, Sendable, CaseIterable, Comparable {
    case member = 1
    /// Adds and removes members, renames the group, deletes others' messages.
    case admin = 2
    /// Sets roles as well, and removes admins.
    case owner = 3

    package static func < (left: GroupRole, right: GroupRole) -> Bool { left.rawValue < right.rawValue }
}
