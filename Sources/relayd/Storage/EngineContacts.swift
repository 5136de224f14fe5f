import NIOCore
import RelayModel
import RelaySQLite

// Contacts and blocks. Each pair of users has a row from either side, written together.
extension SQLiteEngine {
    /// A row of `contacts`.
    struct StoredContact {
        var edge = ContactEdge()
        var category = ""
        var decided: UInt64 = 0
    }

    func contact(_ command: ContactCommand, _ stamp: Stamp) throws -> Outcome {
        guard command.user != command.peer else { throw Rejection.contactWithSelf }
        try checkAllowed(command.device, of: command.user)
        let user = try presentUser(command.user)
        let peer = try presentUser(command.peer)
        let stored = try contact(of: user.id, with: peer.id)
        // Decided on another device meanwhile, which this decision did not know of: only the user can say what holds. What changes nothing
        // contradicts nothing.
        let knew = command.basedOn.map { $0 >= stored.decided } ?? true
        let after: ContactEdge
        do throws(ContactRefusal) {
            after =
                try command.action.map { action throws(ContactRefusal) in
                    try stored.edge.after(action, tellsBlocked: contactPolicy.tellsBlocked)
                } ?? stored.edge
        } catch {
            guard knew else { return .contactConflict(try contactRow(of: user.id, with: peer.id)) }
            throw Rejection.contact(error)
        }
        guard knew || after == stored.edge else { return .contactConflict(try contactRow(of: user.id, with: peer.id)) }
        let category = command.category ?? stored.category
        // A block that is repeated is a decision, too: another device must not lift it without knowing of it.
        let decides = after != stored.edge || command.action == .block || command.action == .unblock
        let mine = StoredContact(edge: after, category: category, decided: decides ? stamp.rawValue : stored.decided)
        var outcome = ContactOutcome(contact: row(mine, of: peer.id, stamp), changes: [], publications: [])
        if decides || category != stored.category {
            try checkRoom(for: user.id, and: peer.id, from: stored.edge, to: after)
            // Only an introduction lengthens the other one's list as well.
            if command.action == .introduce { try checkRoom(for: peer.id, and: user.id, from: stored.edge.mirrored, to: after.mirrored) }
            try write(mine, of: user.id, with: peer.id, stamp)
            outcome.changes.append(ContactChange(user: user.id, row: outcome.contact))
        } else {
            outcome.contact = try contactRow(of: user.id, with: peer.id)
        }
        outcome.isNewBlock = after.blocks && !stored.edge.blocks
        if after != stored.edge {
            if let change = try mirror(after, to: peer.id, of: user.id, stamp) { outcome.changes.append(change) }
            if let chat = try findChat(min(user.id, peer.id), max(user.id, peer.id)), let known = chats[chat] {
                known.passes = nil
            }
        }
        if command.action == .block, contactPolicy.leavesGroups {
            (outcome.publications, outcome.remaining) = try leaveShared(user, peer, stamp)
        }
        return .contact(outcome)
    }

    /// The other side of a pair. What it is not told of is no change for it: its version stays.
    private func mirror(_ edge: ContactEdge, to peer: UserID, of user: UserID, _ stamp: Stamp) throws(SQLiteError) -> ContactChange? {
        var theirs = try contact(of: peer, with: user)
        let before = theirs.edge.view(tellsBlocked: contactPolicy.tellsBlocked)
        theirs.edge = edge.mirrored
        guard theirs.edge.view(tellsBlocked: contactPolicy.tellsBlocked) != before else {
            try writeEdge(theirs.edge, of: peer, with: user)
            return nil
        }
        try write(theirs, of: peer, with: user, stamp)
        return ContactChange(user: peer, row: row(theirs, of: user, stamp))
    }

    func setContactPolicy(_ policy: ContactPolicy, _ stamp: Stamp) throws -> Outcome {
        guard policy != contactPolicy else { return .done }
        let tellsOtherwise = policy.tellsBlocked != contactPolicy.tellsBlocked
        contactPolicy = policy
        try statements.writeContactPolicy.run { $0.bind(1, policy.bits) }
        if tellsOtherwise {
            // What the blocked ones see has changed. Versions may not be shared by rows of one list, so everybody gets the whole list once.
            try statements.listUntoldBlocks.run()
            try statements.raiseAllContactsFloors.run { $0.bind(1, stamp.rawValue) }
        }
        for chat in chats.values { chat.passes = nil }
        return .done
    }

    // MARK: What sends ask

    /// Whether messages pass between the members of a chat; from the disk for the first one only. A group's pass.
    func passes(in chat: ChatState) throws -> Bool {
        if let known = chat.passes { return known }
        let passes = chat.kind != .direct || chat.members.count != 2 ? true : try passes(chat.members[0].user, chat.members[1].user)
        chat.passes = passes
        return passes
    }

    /// Two users without limits are a bot's or a load generator's: nobody asks there.
    func passes(_ user: UserState, _ peer: UserState) throws(SQLiteError) -> Bool {
        let edge = try contact(of: user.id, with: peer.id).edge
        return edge.passes(everyone: contactPolicy.everyone || (user.noLimits && peer.noLimits))
    }

    /// Why a message does not pass, as its sender is told.
    func refusal(of user: UserID, to peer: UserID) throws -> Rejection {
        let row = try contactRow(of: user, with: peer)
        return .notContact(row.state, version: row.version)
    }

    /// Who is brought into a group must be a contact of whoever does it, and nobody's there who blocks them or whom they block.
    func checkNewcomers(_ newcomers: [UserState], by caller: UserState, members: [UserID]) throws {
        var strangers: [UserID] = []
        let present = Set(members)
        for newcomer in newcomers where newcomer.id != caller.id {
            guard try passes(caller, newcomer) else {
                strangers.append(newcomer.id)
                continue
            }
            guard contactPolicy.leavesGroups else { continue }
            let blocked = statements.loadBlocked
            defer { blocked.reset() }
            blocked.bind(1, newcomer.id.rawValue)
            while try blocked.step() { if present.contains(UserID(blocked.unsigned(0))) { throw Rejection.memberBlocked } }
        }
        guard strangers.isEmpty else { throw Rejection.notContacts(strangers) }
    }

    // MARK: Rows

    func contact(of user: UserID, with peer: UserID) throws(SQLiteError) -> StoredContact {
        let load = statements.loadContact
        defer { load.reset() }
        load.bind(1, user.rawValue)
        load.bind(2, peer.rawValue)
        guard try load.step() else { return StoredContact() }
        return StoredContact(
            edge: ContactEdge(
                relation: ContactEdge.Relation(rawValue: UInt8(truncatingIfNeeded: load.integer(0))) ?? .none, blocks: load.integer(1) != 0,
                isBlocked: load.integer(2) != 0), category: load.text(3) ?? "", decided: load.unsigned(4))
    }

    private func contactRow(of user: UserID, with peer: UserID) throws(SQLiteError) -> ContactRow {
        let stored = try contact(of: user, with: peer)
        let version = statements.loadContactVersion
        defer { version.reset() }
        version.bind(1, user.rawValue)
        version.bind(2, peer.rawValue)
        return ContactRow(
            peer: peer, state: stored.edge.view(tellsBlocked: contactPolicy.tellsBlocked), category: stored.category,
            version: try version.step() ? version.unsigned(0) : 0)
    }

    private func row(_ stored: StoredContact, of peer: UserID, _ stamp: Stamp) -> ContactRow {
        ContactRow(
            peer: peer, state: stored.edge.view(tellsBlocked: contactPolicy.tellsBlocked), category: stored.category, version: stamp.rawValue)
    }

    private func write(_ contact: StoredContact, of user: UserID, with peer: UserID, _ stamp: Stamp) throws(SQLiteError) {
        try statements.writeContact.run {
            $0.bind(1, user.rawValue)
            $0.bind(2, peer.rawValue)
            $0.bind(3, Int64(contact.edge.relation.rawValue))
            $0.bind(4, contact.edge.blocks ? 1 : 0)
            $0.bind(5, contact.edge.isBlocked ? 1 : 0)
            $0.bind(6, contact.category)
            $0.bind(7, contact.decided)
            $0.bind(8, stamp.rawValue)
        }
        guard contact.edge == ContactEdge() else { return }
        try forgetEnded(of: user)
    }

    private func writeEdge(_ edge: ContactEdge, of user: UserID, with peer: UserID) throws(SQLiteError) {
        try statements.writeContactEdge.run {
            $0.bind(1, user.rawValue)
            $0.bind(2, peer.rawValue)
            $0.bind(3, Int64(edge.relation.rawValue))
            $0.bind(4, edge.blocks ? 1 : 0)
            $0.bind(5, edge.isBlocked ? 1 : 0)
        }
    }

    /// The oldest ended contact beyond the limit; who asks for what changed since before it gets the whole list.
    private func forgetEnded(of user: UserID) throws(SQLiteError) {
        let find = statements.findEndedContact
        find.bind(1, user.rawValue)
        find.bind(2, Limits.endedContacts)
        let oldest = try find.step() ? find.unsigned(0) : nil
        find.reset()
        guard let oldest else { return }
        for statement in [statements.deleteEndedContacts, statements.raiseContactsFloor] {
            try statement.run {
                $0.bind(1, user.rawValue)
                $0.bind(2, oldest)
            }
        }
    }

    private func checkRoom(for user: UserID, and peer: UserID, from before: ContactEdge, to after: ContactEdge) throws {
        func count(_ user: UserID, requests: Bool) throws(SQLiteError) -> Int64 {
            let count = requests ? statements.countContactRequests : statements.countContacts
            defer { count.reset() }
            count.bind(1, user.rawValue)
            return try count.step() ? count.integer(0) : 0
        }
        func isListed(_ edge: ContactEdge) -> Bool { edge.blocks || ![.none, .isAsked, .ignores].contains(edge.relation) }
        if isListed(after), !isListed(before), try count(user, requests: false) >= Limits.contacts {
            throw Rejection.contactLimitReached(limit: Limits.contacts)
        }
        if after.relation == .asked, before.relation == .none, try count(peer, requests: true) >= Limits.contactRequests {
            throw Rejection.contactRequestsFull
        }
    }

    // MARK: Shared groups

    /// Takes `user` out of the groups that `peer` is in, too.
    /// - Returns: what their members hear, and whether there are more such groups.
    private func leaveShared(_ user: UserState, _ peer: UserState, _ stamp: Stamp) throws -> ([Publication], Bool) {
        let find = statements.findSharedGroups
        find.bind(1, user.id.rawValue)
        find.bind(2, peer.id.rawValue)
        find.bind(3, Limits.sharedGroupsAtOnce + 1)
        var shared: [ChatID] = []
        while try find.step() { shared.append(ChatID(find.unsigned(0))) }
        find.reset()
        var publications: [Publication] = []
        for (number, chat) in shared.prefix(Limits.sharedGroupsAtOnce).enumerated() {
            let own = Stamp(rawValue: stamp.rawValue + UInt64(number) + 1)
            if let publication = try leave(user.id, try self.chat(chat), own) { publications.append(publication) }
        }
        return (publications, shared.count > Limits.sharedGroupsAtOnce)
    }

    // MARK: Removed users

    /// The contacts of a user who is removed end, for the others too.
    func endContacts(of user: UserID, _ stamp: Stamp) throws -> [ContactChange] {
        let list = statements.listContacts
        list.bind(1, user.rawValue)
        var peers: [UserID] = []
        while try list.step() { peers.append(UserID(list.unsigned(0))) }
        list.reset()
        var changes: [ContactChange] = []
        for peer in peers {
            var theirs = try contact(of: peer, with: user)
            theirs.edge = ContactEdge()
            theirs.category = ""
            try write(theirs, of: peer, with: user, stamp)
            changes.append(ContactChange(user: peer, row: row(theirs, of: user, stamp)))
        }
        try statements.deleteContacts.run { $0.bind(1, user.rawValue) }
        return changes
    }
}
