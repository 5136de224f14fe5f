import RelayModel
import RelaySQLite

// Contacts and blocks.
extension Reader {
    package func contactPolicy() throws -> ContactPolicy {
        try rows("SELECT value FROM meta WHERE key = 'contact_policy'") { ContactPolicy(bits: $0.integer(0)) }.first ?? ContactPolicy()
    }

    /// A page of a user's contacts in the order of their versions. The version of an accepted one is that of the last change of their devices'
    /// keys, when that is newer.
    ///
    /// - Parameters:
    ///   - since: only what changed behind this version, ended contacts included; 0 lists all that there are. Who asks for more than is
    ///     remembered gets all.
    ///   - after: where the page begins, as `next` of the page before said.
    ///   - state, category: only these. Pages of a filtered list may be empty before the end.
    package func contacts(
        of user: UserID, since: UInt64, after: UInt64, state: ContactState?, category: String?, limit: Int
    ) throws -> ContactsPage {
        try snapshot {
            let policy = try contactPolicy()
            let floor =
                try rows("SELECT contacts_floor FROM users WHERE user_id = ?", bind: { $0.bind(1, user.rawValue) }) { $0.unsigned(0) }.first ?? 0
            let isDelta = since > 0 && since >= floor
            let start = max(after, isDelta ? since : 0)
            // A contact whose keys changed has changed. That is noted once, with the contact, and not in a row of each of their up to 1,000
            // contacts: those lie on a page each, which the one writer would change, where a reader only looks.
            let found = try rows(
                """
                SELECT peer_id, relation, blocks, is_blocked, category, max(version, coalesce(keys_version, 0)) AS newest
                FROM contacts LEFT JOIN users ON users.user_id = peer_id AND relation = 5 AND NOT blocks AND NOT is_blocked
                WHERE contacts.user_id = ? AND newest > ? ORDER BY newest LIMIT ?
                """,
                bind: {
                    $0.bind(1, user.rawValue)
                    $0.bind(2, start)
                    $0.bind(3, limit)
                }
            ) { Reader.contact($0, policy) }
            let last = found.last?.version ?? start
            let chosen = found.filter { row in
                (isDelta || row.state != .none) && (state == nil || row.state == state) && (category == nil || row.category == category)
            }
            return ContactsPage(rows: chosen, isDelta: isDelta, next: found.count == limit ? last : 0, version: max(last, isDelta ? 0 : floor))
        }
    }

    package func contact(of user: UserID, with peer: UserID) throws -> ContactRow? {
        try snapshot {
            let policy = try contactPolicy()
            return try rows(
                "SELECT peer_id, relation, blocks, is_blocked, category, version FROM contacts WHERE user_id = ? AND peer_id = ?",
                bind: {
                    $0.bind(1, user.rawValue)
                    $0.bind(2, peer.rawValue)
                }
            ) { Reader.contact($0, policy) }.first
        }
    }

    private static func contact(_ row: Statement, _ policy: ContactPolicy) -> ContactRow {
        let edge = ContactEdge(
            relation: ContactEdge.Relation(rawValue: UInt8(truncatingIfNeeded: row.integer(1))) ?? .none, blocks: row.integer(2) != 0,
            isBlocked: row.integer(3) != 0)
        return ContactRow(
            peer: UserID(row.unsigned(0)), state: edge.view(tellsBlocked: policy.tellsBlocked), category: row.text(4) ?? "", version: row.unsigned(5))
    }
}
