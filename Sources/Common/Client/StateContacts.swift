import RelayModel
import RelaySQLite

/// Contacts as the relay has them, and the decisions about them that it does not have yet.
extension ClientState {
    // MARK: What the relay says

    /// All changes of contacts up to this version are here.
    package func contactsVersion() throws(ClientError) -> UInt64 {
        try storing { try rows("SELECT contacts_version FROM account WHERE one = 1") { $0.unsigned(0) }.first ?? 0 }
    }

    func setContactsVersion(_ version: UInt64) throws {
        try run("UPDATE account SET contacts_version = ?1 WHERE one = 1 AND contacts_version < ?1") { $0.bind(1, version) }
    }

    /// Stores how the relay has a contact, unless something newer is here.
    /// - Parameter name: empty when the relay did not say.
    /// - Returns: whether it changes what the person sees.
    @discardableResult
    func store(_ contact: RelayContact, name: String) throws -> Bool {
        let before = try storedContact(contact.user)
        if let before {
            guard contact.version >= before.version else { return false }
        } else if contact.state == .none {
            // A stranger is nothing to keep.
            return false
        }
        let below = contact.state.isBlocked ? before?.below ?? .none : contact.state
        try run(
            """
            INSERT INTO contacts VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (user_id) DO UPDATE SET
                name = CASE ?2 WHEN '' THEN name ELSE ?2 END, state = ?3, below = ?4, category = ?5, version = ?6
            """
        ) {
            $0.bind(1, contact.user.rawValue)
            $0.bind(2, name)
            $0.bind(3, Int64(contact.state.rawValue))
            $0.bind(4, Int64(below.rawValue))
            $0.bind(5, contact.category)
            $0.bind(6, contact.version)
        }
        return before?.state != contact.state || before?.category != contact.category
    }

    /// The whole list came: who is not on it is no contact any more.
    func keepContacts(only listed: Set<UserID>, upTo version: UInt64) throws {
        let stored = try rows("SELECT user_id FROM contacts WHERE version <= ?", { $0.bind(1, version) }) { UserID($0.unsigned(0)) }
        for user in stored where !listed.contains(user) { try run("DELETE FROM contacts WHERE user_id = ?") { $0.bind(1, user.rawValue) } }
    }

    private func storedContact(_ user: UserID) throws -> (state: ContactState, below: ContactState, category: String, version: UInt64)? {
        try rows("SELECT state, below, category, version FROM contacts WHERE user_id = ?", { $0.bind(1, user.rawValue) }) {
            (ClientState.contactState($0.integer(0)), ClientState.contactState($0.integer(1)), $0.text(2) ?? "", $0.unsigned(3))
        }.first
    }

    /// The contact's name; nil when there is none or it was never told.
    func contactName(_ user: UserID) throws -> String? {
        try rows("SELECT name FROM contacts WHERE user_id = ? AND name <> ''", { $0.bind(1, user.rawValue) }) { $0.text(0) ?? "" }.first
    }

    private static func contactState(_ number: Int64) -> ContactState { ContactState(rawValue: UInt8(clamping: number)) ?? .none }

    // MARK: What is shown

    /// All contacts by name, blocked strangers and undecided requests included, with what was decided here.
    package func contacts() throws(ClientError) -> [KnownContact] {
        try storing {
            var decisions = Dictionary(grouping: try decisions(), by: \.name)
            // A name that is not known yet comes with the list; one that has passed to another user is that user's.
            var found = try records("WHERE name <> '' ORDER BY state = 0, version DESC", { _ in })
            for index in found.indices { found[index].decisions = decisions.removeValue(forKey: found[index].name) ?? [] }
            found.removeAll { $0.relayState == .none && $0.decisions.isEmpty }
            for (name, waiting) in decisions { found.append(ClientState.stranger(name, waiting)) }
            return found.sorted { ($0.name, $0.user?.rawValue ?? 0) < ($1.name, $1.user?.rawValue ?? 0) }
        }
    }

    /// A contact by name; nil when nothing is known and nothing was decided.
    package func contact(named name: String) throws(ClientError) -> KnownContact? {
        try storing {
            let waiting = try decisions(about: name)
            // A name can pass to another user when its bearer is removed; that one is nobody's contact any more.
            guard var found = try records("WHERE name = ? ORDER BY state = 0, version DESC LIMIT 1", { $0.bind(1, name) }).first else {
                return waiting.isEmpty ? nil : ClientState.stranger(name, waiting)
            }
            found.decisions = waiting
            return found
        }
    }

    /// Whom this user blocks on this device now.
    func blocks(_ user: UserID) throws -> Bool {
        guard var found = try records("WHERE user_id = ?", { $0.bind(1, user.rawValue) }).first else {
            // Decided before anything was heard of them as a contact.
            guard let name = try userName(user) else { return false }
            return try contact(named: name)?.blocks ?? false
        }
        found.decisions = try decisions(about: found.name)
        return found.blocks
    }

    private func records(_ condition: String, _ bind: (Statement) -> Void) throws -> [KnownContact] {
        try rows("SELECT user_id, name, state, below, category, version FROM contacts \(condition)", bind) {
            KnownContact(
                name: $0.text(1) ?? "", user: UserID($0.unsigned(0)), relayState: ClientState.contactState($0.integer(2)),
                relayCategory: $0.text(4) ?? "", version: $0.unsigned(5), below: ClientState.contactState($0.integer(3)), decisions: [])
        }
    }

    private static func stranger(_ name: String, _ decisions: [ContactDecision]) -> KnownContact {
        KnownContact(name: name, user: nil, relayState: .none, relayCategory: "", version: 0, below: .none, decisions: decisions)
    }

    // MARK: Decisions

    /// Keeps a decision for the relay, behind the earlier ones.
    func enqueueDecision(_ action: ContactAction?, about name: String, category: String?, at time: Timestamp) throws -> Int64 {
        let follows = try !decisions(about: name).isEmpty
        let base = try base(of: name)
        try run("INSERT INTO contact_decisions (name, action, category, based_on, decided_at) VALUES (?, ?, ?, ?, ?)") {
            $0.bind(1, name)
            if let action { $0.bind(2, Int64(action.rawValue)) } else { $0.bindNull(2) }
            $0.bind(3, category)
            if follows { $0.bindNull(4) } else { $0.bind(4, base) }
            $0.bind(5, time.milliseconds)
        }
        return try database.integer("SELECT last_insert_rowid()") ?? 0
    }

    /// What this device knows of a contact: it has heard of everything up to here that concerns it.
    private func base(of name: String) throws -> UInt64 { max(try contact(named: name)?.version ?? 0, try contactsVersion()) }

    private static let decisionColumns = "SELECT id, name, action, category, based_on, conflict FROM contact_decisions"

    private func decision(_ row: Statement) -> ContactDecision {
        ContactDecision(
            id: row.integer(0), name: row.text(1) ?? "", action: row.isNull(2) ? nil : ContactAction(rawValue: UInt8(clamping: row.integer(2))),
            category: row.text(3), basedOn: row.isNull(4) ? nil : row.unsigned(4), isInConflict: row.integer(5) != 0)
    }

    func decisions() throws -> [ContactDecision] { try rows(ClientState.decisionColumns + " ORDER BY id", { _ in }, decision) }

    func decisions(about name: String) throws -> [ContactDecision] {
        try rows(ClientState.decisionColumns + " WHERE name = ? ORDER BY id", { $0.bind(1, name) }, decision)
    }

    package func decision(_ id: Int64) throws(ClientError) -> ContactDecision? {
        try storing { try rows(ClientState.decisionColumns + " WHERE id = ?", { $0.bind(1, id) }, decision).first }
    }

    package func decisionCount() throws(ClientError) -> Int {
        try storing { try rows("SELECT count(*) FROM contact_decisions") { Int($0.integer(0)) }.first ?? 0 }
    }

    /// The oldest that may go to the relay: what is behind a conflict about the same contact waits for the person.
    func nextDecision() throws -> ContactDecision? {
        try rows(
            ClientState.decisionColumns
                + " d WHERE NOT EXISTS (SELECT 1 FROM contact_decisions c WHERE c.name = d.name AND c.conflict <> 0) ORDER BY id LIMIT 1",
            { _ in }, decision
        ).first
    }

    /// The relay did it. What was decided next about the same contact knew of this, and so of what the reply says.
    func decided(_ decision: ContactDecision, _ contact: RelayContact) throws {
        try store(contact, name: decision.name)
        try pass(max(contact.version, decision.basedOn ?? 0), behind: decision)
    }

    /// The relay will never do it. What was decided next stands on what this one stood on.
    func dropDecision(_ decision: ContactDecision) throws { try pass(decision.basedOn ?? 0, behind: decision) }

    private func pass(_ version: UInt64, behind decision: ContactDecision) throws {
        try run("DELETE FROM contact_decisions WHERE id = ?") { $0.bind(1, decision.id) }
        try run("UPDATE contact_decisions SET based_on = ?2 WHERE id = (SELECT min(id) FROM contact_decisions WHERE name = ?1)") {
            $0.bind(1, decision.name)
            $0.bind(2, version)
        }
    }

    /// Another device decided otherwise meanwhile: kept for the person, who decides.
    func markConflict(_ decision: ContactDecision, _ contact: RelayContact?) throws {
        if let contact { try store(contact, name: decision.name) }
        try run("UPDATE contact_decisions SET conflict = 1 WHERE id = ?") { $0.bind(1, decision.id) }
    }

    /// The person's final word about a conflict.
    /// - Returns: the decisions that go to the relay now.
    func resolve(_ name: String, _ resolution: ContactResolution) throws -> [Int64] {
        let waiting = try decisions(about: name)
        switch resolution {
        case .relay:
            try run("DELETE FROM contact_decisions WHERE name = ?") { $0.bind(1, name) }
            return []
        case .mine:
            // On top of what this device now knows the relay has; should yet another device decide before it gets there, it is a conflict again.
            let base = try base(of: name)
            for (index, decision) in waiting.enumerated() {
                try run("UPDATE contact_decisions SET conflict = 0, based_on = ?2 WHERE id = ?1") {
                    $0.bind(1, decision.id)
                    if index == 0 { $0.bind(2, base) } else { $0.bindNull(2) }
                }
            }
            return waiting.map(\.id)
        }
    }
}
