import RelayModel
import RelayStorage

// What operators see of contacts and blocks, and decide on a user's behalf.
extension Directory {
    /// A user by the name that an operator typed.
    package func userRow(named name: String) async throws(DirectoryError) -> UserRow { try await find(name) }

    /// A user's contacts and blocks as they are; parameters as of ``Reader/relations(of:state:after:limit:)``.
    package func relations(
        of user: UserID, state: ContactState?, after peer: UserID?, limit: Int
    ) async throws(DirectoryError) -> [RelationRow] {
        try await readers.look { try $0.relations(of: user, state: state, after: peer, limit: limit) }
    }

    package func relation(of user: UserID, with peer: UserID) async throws(DirectoryError) -> ContactEdge {
        try await readers.look { try $0.relation(of: user, with: peer) }
    }

    /// How many others a user has to do with, in which way, and in how many groups the user is.
    package func relationCounts(of user: UserID) async throws(DirectoryError) -> (edges: [ContactEdge: Int], groups: Int) {
        try await readers.look { (try $0.relationCounts(of: user), try $0.groupCount(of: user)) }
    }

    package func blocks(of user: UserID?, after place: BlockPosition, limit: Int) async throws(DirectoryError) -> BlocksPage {
        try await readers.look { try $0.blocks(of: user, after: place, limit: limit) }
    }

    /// Makes two users contacts of each other, in one step.
    /// - Returns: false when they were already.
    package func introduce(_ user: UserID, to peer: UserID, actor: Actor) async throws(DirectoryError) -> Bool {
        try await !act(.introduce, user, peer, actor).outcome.changes.isEmpty
    }

    /// What ``block(_:for:actor:)`` would do.
    package func planBlock(of peer: UserID, for user: UserID) async throws(DirectoryError) -> (changed: Bool, groupsLeft: Int) {
        guard user != peer else { throw .rejected(.contactWithSelf) }
        return try await readers.look { reader in
            let leaves = try reader.contactPolicy().leavesGroups
            return (try !reader.relation(of: user, with: peer).blocks, leaves ? try reader.sharedGroupCount(of: user, and: peer) : 0)
        }
    }

    /// Blocks a user on another one's behalf, who has left all groups that both are in, where the policy is so, when this returns.
    package func block(_ peer: UserID, for user: UserID, actor: Actor) async throws(DirectoryError) -> (changed: Bool, groupsLeft: Int) {
        let isNew = try await !relation(of: user, with: peer).blocks
        return (isNew, try await act(.block, user, peer, actor).groupsLeft)
    }

    /// Lifts a user's block.
    /// - Returns: false when there is none, and then the audit log says nothing either.
    package func unblock(_ peer: UserID, for user: UserID, actor: Actor) async throws(DirectoryError) -> Bool {
        guard user != peer else { throw .rejected(.contactWithSelf) }
        guard try await relation(of: user, with: peer).blocks else { return false }
        _ = try await act(.unblock, user, peer, actor)
        return true
    }

    private func act(
        _ action: ContactAction, _ user: UserID, _ peer: UserID, _ actor: Actor
    ) async throws(DirectoryError) -> (outcome: ContactOutcome, groupsLeft: Int) {
        try await complete(ContactCommand(user: user, peer: peer, action: action), actor: actor)
    }

    /// What operators did about blocks and contacts, newest first.
    package func auditOfContacts(limit: Int) async throws(DirectoryError) -> [AuditRow] {
        try await readers.look { try $0.auditOfContacts(limit: limit) }
    }

    /// Writes into the audit log what an operator did that changes nothing in the store.
    package func audit(_ actor: Actor) async throws(DirectoryError) { _ = try await perform(.auditOnly, actor: actor) }
}
