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
        var command = command
        while true {
            guard case .contact(let outcome) = try await perform(.contact(command), telling: true) else { throw .storeFailed }
            guard outcome.remaining else { return outcome.contact }
            // Blocked already; the rest of the shared groups are left step by step.
            command.basedOn = nil
        }
    }

    /// Puts the configured policy into force, for the messages that come after it.
    package func apply(_ policy: ContactPolicy) async throws(DirectoryError) { _ = try await perform(.setContactPolicy(policy)) }
}
