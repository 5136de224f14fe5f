import RelayModel

/// How a user stands to another one, as an operator sees it: what is so, whatever the two are told of it.
package enum ContactStanding: String, Codable, Sendable, CaseIterable {
    /// The user asked the other one, who has not accepted.
    case requested
    /// The other one asks the user.
    case incoming
    case accepted
    /// The other one asked, and the user does not answer.
    case ignored
    /// The user blocks the other one.
    case blocks
    /// The other one blocks the user.
    case blocked
    case mutual
}

/// A contact from one user's side. The label that the user gave it is the user's own business and is not told.
package struct ContactRecord: Codable, Sendable, Equatable {
    package var user: String
    package var peer: String
    package var peerID: UserID
    package var state: ContactStanding
    /// When one of the two last decided something about the other; absent when that is not known.
    package var since: Timestamp?
    package init(user: String, peer: String, peerID: UserID, state: ContactStanding, since: Timestamp?) {
        self.user = user
        self.peer = peer
        self.peerID = peerID
        self.state = state
        self.since = since
    }
}

/// A user's contacts, blocks included, in the order of the others' identifiers, in pages.
package struct ContactList: ControlOperation {
    package static let name = ControlOperationName.contactList
    package var user: String
    package var state: ContactStanding?
    /// Continue behind this `peerID`.
    package var after: UserID?
    /// 1 to 500; 500 when absent.
    package var limit: Int?
    package init(user: String, state: ContactStanding? = nil, after: UserID? = nil, limit: Int? = nil) {
        self.user = user
        self.state = state
        self.after = after
        self.limit = limit
    }
    package struct Reply: Codable, Sendable {
        package var contacts: [ContactRecord]
        /// Pass as `after` for the next page; absent at the end.
        package var next: UserID?
        package init(contacts: [ContactRecord], next: UserID?) {
            self.contacts = contacts
            self.next = next
        }
    }
}

/// Introduces two users: afterwards each has accepted the other. Refused while one of them blocks the other.
package struct ContactAdd: ControlOperation {
    package static let name = ControlOperationName.contactAdd
    package var user: String
    package var peer: String
    /// For the audit log.
    package var reason: String
    package init(user: String, peer: String, reason: String) {
        self.user = user
        self.peer = peer
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var user: String
        package var peer: String
        /// False when they were contacts already.
        package var changed: Bool
        package init(user: String, peer: String, changed: Bool) {
            self.user = user
            self.peer = peer
            self.changed = changed
        }
    }
}

// MARK: Blocks

package struct BlockRecord: Codable, Sendable, Equatable {
    /// Who blocks.
    package var user: String
    package var peer: String
    /// When the user last decided something about the other one; absent when that is not known.
    package var since: Timestamp?
    package init(user: String, peer: String, since: Timestamp?) {
        self.user = user
        self.peer = peer
        self.since = since
    }
}

/// Who blocks whom, in the order of the users' identifiers, in pages. A page may have fewer entries than asked for, or none, before the end:
/// how much of the store one page looks at is bounded.
package struct BlockList: ControlOperation {
    package static let name = ControlOperationName.blockList
    /// Only whom this user blocks.
    package var user: String?
    /// Continue there.
    package var after: String?
    /// 1 to 500; 500 when absent.
    package var limit: Int?
    package init(user: String? = nil, after: String? = nil, limit: Int? = nil) {
        self.user = user
        self.after = after
        self.limit = limit
    }
    package struct Reply: Codable, Sendable {
        package var blocks: [BlockRecord]
        /// Pass as `after` for the next page; absent at the end.
        package var next: String?
        package init(blocks: [BlockRecord], next: String?) {
            self.blocks = blocks
            self.next = next
        }
    }
}

/// Blocks a user on another one's behalf, who leaves the groups that both are in where the relay's policy is so.
package struct BlockAdd: ControlOperation {
    package static let name = ControlOperationName.blockAdd
    /// On whose behalf.
    package var user: String
    package var peer: String
    /// For the audit log.
    package var reason: String
    /// Only say what would happen.
    package var dryRun: Bool?
    package init(user: String, peer: String, reason: String, dryRun: Bool? = nil) {
        self.user = user
        self.peer = peer
        self.reason = reason
        self.dryRun = dryRun
    }
    package struct Reply: Codable, Sendable {
        package var user: String
        package var peer: String
        package var dryRun: Bool
        /// False when the user blocks the other one already.
        package var changed: Bool
        /// Shared groups that the user left, or would leave.
        package var groupsLeft: Int
        package init(user: String, peer: String, dryRun: Bool, changed: Bool, groupsLeft: Int) {
            self.user = user
            self.peer = peer
            self.dryRun = dryRun
            self.changed = changed
            self.groupsLeft = groupsLeft
        }
    }
}

/// Lifts a user's block on their behalf. What was before the block is again, but for the groups that the user left.
package struct BlockRemove: ControlOperation {
    package static let name = ControlOperationName.blockRemove
    package var user: String
    package var peer: String
    /// For the audit log.
    package var reason: String
    package init(user: String, peer: String, reason: String) {
        self.user = user
        self.peer = peer
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var user: String
        package var peer: String
        /// How the user stands to the other one now; absent when they have nothing to do with each other.
        package var state: ContactStanding?
        package init(user: String, peer: String, state: ContactStanding?) {
            self.user = user
            self.peer = peer
            self.state = state
        }
    }
}

/// What operators did about blocks and contacts, the newest first.
package struct BlockAudit: ControlOperation {
    package static let name = ControlOperationName.blockAudit
    /// 1 to 500; 100 when absent.
    package var limit: Int?
    package init(limit: Int? = nil) { self.limit = limit }
    package typealias Reply = AuditList.Reply
}
