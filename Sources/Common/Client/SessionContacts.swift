import NIOCore
import RelayHTTP
import RelayModel
import RelayWire

/// Contacts: what the relay says about them, and what the person decides.
///
/// A connection begins with the list: nothing that waits in the mailbox is stored before it is known who is blocked. Decisions go out one by one, in
/// their order, before messages: what somebody writes after they accepted or unblocked must not overtake that.
extension Session {
    // MARK: What the person decides

    /// Asks somebody to be a contact.
    /// - Parameter category: this user's own label.
    @discardableResult
    package func request(_ user: String, category: String? = nil) throws(ClientError) -> Int64 {
        try decide(.request, about: user, category: category)
    }

    @discardableResult
    package func accept(_ user: String, category: String? = nil) throws(ClientError) -> Int64 { try decide(.accept, about: user, category: category) }

    /// Leaves a request without an answer; the other one is not told.
    @discardableResult
    package func ignore(_ user: String) throws(ClientError) -> Int64 { try decide(.ignore, about: user) }

    /// Holds on this device at once.
    @discardableResult
    package func block(_ user: String) throws(ClientError) -> Int64 { try decide(.block, about: user) }

    @discardableResult
    package func unblock(_ user: String) throws(ClientError) -> Int64 { try decide(.unblock, about: user) }

    @discardableResult
    package func deleteContact(_ user: String) throws(ClientError) -> Int64 { try decide(.delete, about: user) }

    @discardableResult
    package func label(_ user: String, as category: String) throws(ClientError) -> Int64 { try decide(nil, about: user, category: category) }

    /// Keeps a decision for the relay, on disk when it returns, and shows it at once. Its number names it from now on.
    /// - Parameter action: nil: the label alone.
    /// - Throws: ``ClientError/contactConflict(_:)`` when the person must first say what holds.
    @discardableResult
    package func decide(_ action: ContactAction?, about user: String, category: String? = nil) throws(ClientError) -> Int64 {
        let state = try working()
        let name = try Session.checkedName(user)
        guard name != account.userName else {
            throw .request("\(name) is this device's own user", hint: "a contact is another user")
        }
        if let category { try Session.check(category: category) }
        let now = settings.clock.now()
        let (id, shown) = try state.transaction {
            guard try state.decisionCount() < Limits.clientContactDecisions else {
                throw ClientError.decisionsFull(limit: Limits.clientContactDecisions)
            }
            if let known = try state.contact(named: name), known.isInConflict { throw ClientError.contactConflict(name) }
            let id = try state.enqueueDecision(action, about: name, category: category, at: now)
            return (id, try state.contact(named: name))
        }
        if let shown { events(.contacts([shown])) }
        sendDecisions()
        checkWaiters()
        return id
    }

    /// The person's final word about a conflict.
    /// - Returns: the decisions that go to the relay now; none when the relay's stays.
    @discardableResult
    package func resolve(_ user: String, _ resolution: ContactResolution) throws(ClientError) -> [Int64] {
        let state = try working()
        let name = try Session.checkedName(user)
        let (ids, shown) = try state.transaction {
            guard let known = try state.contact(named: name), known.isInConflict else {
                throw ClientError.request("there is no conflict about \(name)", hint: "`chatctl client contacts list` shows the contacts")
            }
            return (try state.resolve(name, resolution), try state.contact(named: name))
        }
        if let shown { events(.contacts([shown])) }
        sendDecisions()
        checkWaiters()
        return ids
    }

    /// Waits until the relay has answered these decisions: it did them, refused them, or they are in conflict.
    package func wait(forDecisions ids: [Int64], timeout: Duration? = nil) async throws(ClientError) {
        try await wait(for: "the relay's answer", timeout: timeout) { session throws(ClientError) in
            let state = try session.working()
            for id in ids {
                guard let waiting = try state.decision(id) else { continue }
                // What is behind a conflict waits with it.
                if waiting.isInConflict { continue }
                guard try state.contact(named: waiting.name)?.isInConflict == true else { return false }
            }
            return true
        }
    }

    /// The decisions that waited when this connection was opened, and all since, are answered or wait for the person.
    package var decisionsAreAnswered: Bool {
        get throws(ClientError) {
            let state = try working()
            let next = try state.storing { try state.nextDecision() }
            return !deciding && next == nil
        }
    }

    private static func checkedName(_ user: String) throws(ClientError) -> String {
        do { return try UserName(user).text } catch { throw .userName(error.description) }
    }

    private static func check(category: String) throws(ClientError) {
        let hint = "at most \(Limits.contactCategoryCharacters) characters on one line; none takes it away"
        guard category.count <= Limits.contactCategoryCharacters else { throw .request("this cannot be a label", hint: hint) }
        guard !category.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw .request("a label has no control characters", hint: hint)
        }
    }

    /// Refuses to write to somebody who blocks or is blocked, before anything is queued.
    func refuseBlocked(_ name: String, _ state: ClientState) throws(ClientError) {
        guard settings.stopsBlockedSends, let known = try state.contact(named: name) else { return }
        if known.blocks { throw .youBlock(name) }
        if known.isBlocked { throw .blocked(name) }
    }

    // MARK: What the relay says

    /// Asks the relay what changed behind what is here.
    func syncContacts(retries: Int = 0) {
        guard established else { return }
        guard !syncingContacts else {
            syncContactsAgain = true
            return
        }
        syncingContacts = true
        let (connection, changesBefore) = (connectionNumber, keyChanges)
        Task {
            let answer: Result<ContactList, ClientError>
            do throws(ClientError) { answer = .success(try await fetchContacts(since: try working().contactsVersion())) } catch {
                answer = .failure(error)
            }
            guard connection == connectionNumber else { return }
            syncingContacts = false
            // Keys changed while the answer was on its way: it may be older than what is known of them.
            if keyChanges != changesBefore, retries < Limits.deviceListRetries { return syncContacts(retries: retries + 1) }
            do throws(ClientError) {
                switch answer {
                case .success(let list): try store(list)
                // A relay without contacts: there is nothing to wait for.
                case .failure(.refused(let refusal)) where refusal.code == "not_found": break
                case .failure(let error): throw error
                }
            } catch {
                return giveUpConnection(error)
            }
            contactsSynced = true
            if syncContactsAgain {
                syncContactsAgain = false
                syncContacts()
            }
            sendDecisions()
            burst()
        }
    }

    /// All pages of an answer.
    private struct ContactList: Sendable {
        var contacts: [(contact: RelayContact, user: Relay_V1_User)] = []
        /// Only what changed; otherwise who is not listed is no contact.
        var isDelta = true
        var version: UInt64 = 0
    }

    private func fetchContacts(since: UInt64) async throws(ClientError) -> ContactList {
        var list = ContactList()
        var next: UInt64 = 0
        for number in 0..<Limits.clientContactPages {
            let page = try await api.contacts(of: account.user, since: since, after: next, token: try await currentToken())
            if number > 0, page.isDeltaUpdate != list.isDelta {
                // The relay forgot meanwhile what it would have needed for a delta.
                guard since > 0 else { throw .protocolViolation("a list of contacts changes its kind between its pages") }
                return try await fetchContacts(since: 0)
            }
            list.isDelta = page.isDeltaUpdate
            list.contacts += page.contacts.map { (RelayContact($0), $0.user) }
            list.version = max(list.version, page.version)
            if page.next == 0 { return list }
            guard page.next > next else { throw .protocolViolation("a page of contacts leads back") }
            next = page.next
        }
        throw .protocolViolation("the list of contacts does not end")
    }

    private func store(_ list: ContactList) throws(ClientError) {
        let state = try working()
        let changed = try state.transaction {
            let before = list.isDelta ? [] : try state.contacts()
            var names: Set<String> = []
            for (contact, user) in list.contacts where contact.user != account.user {
                // With the devices and keys as they are now: what changed while this device was away.
                if contact.state == .accepted, user.userID == contact.user.rawValue { try store(user, state) }
                guard try state.store(contact, name: user.name), let name = try state.contactName(contact.user) else { continue }
                names.insert(name)
            }
            if !list.isDelta {
                let listed = Set(list.contacts.map { $0.contact.user })
                try state.keepContacts(only: listed, upTo: list.version)
                for gone in before where gone.user.map({ !listed.contains($0) }) ?? false { names.insert(gone.name) }
            }
            if let incomplete = incompletePush, incomplete > list.version {
                // Asked before that was pushed: the next list has it.
                try state.setContactsVersion(list.version)
            } else {
                // What was pushed since is here as well, so both together are complete.
                incompletePush = nil
                try state.setContactsVersion(max(list.version, pushedContacts))
            }
            return try names.sorted().compactMap { try state.contact(named: $0) }
        }
        knownRecipients = [:]
        if !changed.isEmpty { events(.contacts(changed)) }
        try tellContactsSeen()
        channel?.flush()
    }

    /// Contacts that changed while connected.
    func apply(_ contacts: Relay_V1_Contacts, _ state: ClientState, _ effects: inout Effects) throws {
        for wire in contacts.contacts where wire.userID != account.user.rawValue {
            let contact = RelayContact(wire)
            let changed = try state.store(contact, name: "")
            pushedContacts = max(pushedContacts, contact.version)
            guard let name = try state.contactName(contact.user) else {
                // The name is in the list; until then the state holds already.
                if contact.state != .none {
                    incompletePush = max(incompletePush ?? 0, contact.version)
                    effects.syncContacts = true
                }
                continue
            }
            if changed, let shown = try state.contact(named: name) { effects.events.append(.contacts([shown])) }
        }
        try noteContactsPushed(state, &effects)
    }

    /// All that was pushed is stored: from there on the next connection asks.
    private func noteContactsPushed(_ state: ClientState, _ effects: inout Effects) throws {
        guard incompletePush == nil, contactsSynced, !syncingContacts else { return }
        try state.setContactsVersion(pushedContacts)
        effects.contactsSeen = true
    }

    /// A change of keys has its version among those of contacts.
    func notePushed(keysVersion version: UInt64, _ state: ClientState, _ effects: inout Effects) throws {
        pushedContacts = max(pushedContacts, version)
        try noteContactsPushed(state, &effects)
    }

    /// The relay counts on it that this device stops by itself what the contacts forbid.
    func tellContactsSeen() throws(ClientError) {
        let version = try working().contactsVersion()
        // Who has seen nothing yet has nothing to tell; the relay takes no zero.
        guard version > 0 else { return }
        var frame = Relay_V1_ClientFrame()
        frame.contactsSeen.version = version
        write(frame)
    }

    // MARK: Decisions to the relay

    /// Sends the next decision, and goes on when it is answered.
    func sendDecisions() {
        guard established, contactsSynced, !deciding, failure == nil, let state else { return }
        let next: ContactDecision?
        do throws(ClientError) { next = try state.storing { try state.nextDecision() } } catch { return fail(error) }
        guard let next else { return }
        deciding = true
        let connection = connectionNumber
        Task {
            let answer: Result<RelayContact, ClientError>
            do throws(ClientError) { answer = .success(try await carryOut(next)) } catch { answer = .failure(error) }
            // The next connection sends it again: the relay takes what changes nothing.
            guard connection == connectionNumber else { return }
            do throws(ClientError) {
                if let pause = try settle(next, answer) {
                    decideAfter?.cancel()
                    decideAfter = loop.scheduleTask(in: TimeAmount(pause)) { [weak self] in
                        self?.assumeIsolated { session in
                            session.deciding = false
                            session.sendDecisions()
                        }
                    }
                    return
                }
            } catch {
                return fail(error)
            }
            deciding = false
            sendDecisions()
            burst()
            checkWaiters()
        }
    }

    private func carryOut(_ decision: ContactDecision) async throws(ClientError) -> RelayContact {
        let state = try working()
        let user: UserID
        if let known = try state.contact(named: decision.name), let id = known.user, known.relayState != .none {
            user = id
        } else {
            // The name may have passed to another user.
            user = UserID(try await api.user(named: decision.name, token: try await currentToken()).userID)
        }
        return try await api.decide(
            decision.action, of: account.user, about: user, category: decision.category, basedOn: decision.basedOn ?? 0,
            token: try await currentToken())
    }

    /// Stores what the relay answered. Gives how long to wait before the same decision is sent again; nil when it is settled.
    private func settle(_ decision: ContactDecision, _ answer: Result<RelayContact, ClientError>) throws(ClientError) -> Duration? {
        let state = try working()
        let event: SessionEvent
        switch answer {
        case .success(let contact):
            try state.transaction { try state.decided(decision, contact) }
            event = .decided(decision)
        case .failure(.refused(let refusal)) where refusal.code == "contact_conflict":
            let shown = try state.transaction {
                try state.markConflict(decision, refusal.contact)
                return try state.contact(named: decision.name)
            }
            var marked = decision
            marked.isInConflict = true
            guard let shown else { return nil }
            event = .conflict(marked, shown)
        case .failure(.refused(let refusal)) where !refusal.isTemporary && refusal.status != 401:
            try state.transaction { try state.dropDecision(decision) }
            event = .decisionRefused(decision, refusal)
        case .failure(.refused(let refusal)):
            if refusal.status == 401 { token = nil }
            return refusal.retryAfter ?? .seconds(1)
        case .failure(let error):
            if case .store = error { throw error }
            return .seconds(1)
        }
        events(event)
        if let shown = try state.contact(named: decision.name) { events(.contacts([shown])) }
        return nil
    }
}
