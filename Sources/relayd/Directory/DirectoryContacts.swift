import RelayModel
import RelayStorage

// Who may write to whom. REST calls it the connection service.
extension Directory {
    /// A page of a user's contacts, with what may be known about each: names, and of accepted ones the active devices with their keys.
    /// - Parameters: as of ``Reader/contacts(of:since:after:state:category:limit:)``.
    package func contacts(
        of user: UserID, since: UInt64, after: UInt64, state: ContactState?, category: String?, limit: Int
    ) async throws(DirectoryError) -> (page: ContactsPage, users: [UserID: UserDevices]) {
        try await readers.look { reader in
            let page = try reader.contacts(of: user, since: since, after: after, state: state, category: category, limit: limit)
            var users: [UserID: UserDevices] = [:]
            for row in page.rows where row.state != .none {
                guard let peer = try reader.user(row.peer) else { continue }
                users[row.peer] = UserDevices(user: peer, devices: row.state == .accepted ? try reader.devices(of: row.peer) : [])
            }
            return (page, users)
        }
    }

    package func contact(of user: UserID, with peer: UserID) async throws(DirectoryError) -> ContactRow {
        try await readers.look { try $0.contact(of: user, with: peer) } ?? ContactRow(peer: peer, state: .none, category: "", version: 0)
    }

    /// Does what a user decides about another one. When this returns, every later message is held to it.
    package func decide(_ command: ContactCommand) async throws(DirectoryError) -> ContactRow {
        if let category = command.category, !category.isEmpty {
            _ = try Directory.checked(category, "category", characters: Limits.contactCategoryCharacters)
        }
        return try await complete(command).outcome.contact
    }

    /// Does a decision to its end: a block leaves the shared groups some at a time.
    /// - Returns: what it came to at last, and how many groups were left.
    func complete(_ command: ContactCommand, actor: Actor? = nil) async throws(DirectoryError) -> (outcome: ContactOutcome, groupsLeft: Int) {
        var command = command
        var actor = actor
        var groups = 0
        while true {
            guard case .contact(let outcome) = try await perform(.contact(command), actor: actor, telling: true) else { throw .storeFailed }
            groups += outcome.publications.count
            guard outcome.remaining else { return (outcome, groups) }
            // The same decision: nothing came between, and the audit log has it once.
            command.basedOn = outcome.contact.version
            actor = nil
        }
    }

    /// Puts the configured policy into force, for the messages that come after it.
    package func apply(_ policy: ContactPolicy) async throws(DirectoryError) { _ = try await perform(.setContactPolicy(policy)) }
}
