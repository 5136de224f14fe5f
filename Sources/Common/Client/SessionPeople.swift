import NIOCore
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayWire

/// What sealing and opening need to know of chats and devices: asked of the relay, checked, stored.
extension Session {
    /// Asks the relay for what sealing needs, and goes on when the answer is stored.
    func prepare(_ preparation: Preparation) {
        guard !preparing else { return }
        preparing = true
        guard let wait = pause(before: preparation) else { return ask(for: preparation) }
        prepareAfter?.cancel()
        prepareAfter = loop.scheduleTask(in: TimeAmount(wait)) { [weak self] in
            self?.assumeIsolated { session in session.ask(for: preparation) }
        }
    }

    /// How long to wait when the last answers were of no use: nobody gains by the same question without end.
    func pause(before preparation: Preparation) -> Duration? {
        let questions: [Question]
        switch preparation {
        case .openChat(let recipient): questions = [.recipient(recipient)]
        case .refetch(let chats): questions = chats.map { .chat($0) }
        case .users: questions = []
        }
        let backoffs = questions.compactMap { fruitless[$0] }
        guard let longest = backoffs.max(by: { $0.failures < $1.failures }), longest.failures >= Limits.clientFruitlessAnswers else { return nil }
        return Backoff.jitter(upTo: longest.bound, using: &jitter)
    }

    /// Whether the answer changed what the question was asked for.
    func note(_ question: Question, helped: Bool) {
        guard !helped else {
            fruitless[question] = nil
            return
        }
        var backoff = fruitless[question] ?? Backoff()
        _ = backoff.next(using: &jitter)
        fruitless[question] = backoff
    }

    private func ask(for preparation: Preparation) {
        let connection = connectionNumber
        Task {
            var retry: Duration?
            do throws(ClientError) {
                switch preparation {
                case .openChat(let recipient): try await openChat(with: recipient)
                case .refetch(let chats): for chat in chats { try await refetch(chat) }
                case .users(let names, let row): for name in names { try await resolve(name, for: row) }
                }
            } catch {
                switch error {
                case .store: fail(error)
                case .refused(let refusal):
                    if refusal.status == 401 { token = nil }
                    retry = refusal.retryAfter ?? .seconds(1)
                default: retry = .seconds(1)
                }
            }
            guard connection == connectionNumber else { return }
            if let retry {
                // Still marked as preparing, so that nothing is asked before its time.
                prepareAfter?.cancel()
                prepareAfter = loop.scheduleTask(in: TimeAmount(retry)) { [weak self] in
                    self?.assumeIsolated { session in
                        session.preparing = false
                        session.burst()
                    }
                }
            } else {
                preparing = false
                burst()
            }
        }
    }

    private func openChat(with recipient: String) async throws(ClientError) {
        do throws(ClientError) {
            let user = try await api.user(named: recipient, token: try await currentToken())
            let chat = try await fetch(nil) { () async throws(ClientError) in
                try await self.api.openChat(with: UserID(user.userID), token: try await self.currentToken())
            }
            // The relay may know the user under a name that folds to the same; what waits is found by its own name.
            guard user.name == recipient else {
                throw .refused(Refusal(code: "user_unknown", message: "the relay knows no user \(recipient)", status: 404))
            }
            let state = try working()
            let isOpen = try state.transaction {
                if let chat { try state.markOpened(chat, for: recipient) }
                return try state.openChat(with: recipient) != nil
            }
            note(.recipient(recipient), helped: isOpen)
        } catch {
            guard case .refused(let refusal) = error, !refusal.isTemporary, refusal.status != 401 else { throw error }
            try giveUp(on: recipient, refusal)
        }
    }

    /// Nothing that waits for a user can be sent: neither what is not sealed, nor what is held to be sealed anew.
    func giveUp(on recipient: String, _ refusal: Refusal) throws(ClientError) {
        let state = try working()
        let sealed = window.resealable().flatMap { window.held($0) }.map(\.row)
        let held = try state.storing {
            try sealed.filter { row in
                guard let entry = try state.outboxEntry(row) else { return false }
                return entry.recipient == recipient && entry.target == nil && entry.command == nil
            }
        }
        window.drop(Set(held))
        try bury(held + (try state.storing { try state.unsealed(to: recipient) }), refusal)
    }

    private func refetch(_ chat: ChatID) async throws(ClientError) {
        do throws(ClientError) {
            let before = try devices(of: chat)
            try await fetchChat(chat)
            staleChats.remove(chat)
            note(.chat(chat), helped: try devices(of: chat) != before)
        } catch {
            guard case .refused(let refusal) = error, !refusal.isTemporary, refusal.status != 401 else { throw error }
            let held = window.takeForResealing(chat)
            staleChats.remove(chat)
            try bury(held.map(\.row) + (try working().transaction { try working().unsealed(for: chat) }), refusal)
        }
    }

    /// Whom a message for the chat is sealed for.
    private func devices(of chat: ChatID) throws(ClientError) -> [KnownDevice] {
        let state = try working()
        return try state.storing { try state.recipients(in: chat) }
    }

    /// Finds out who is meant in a change of a group.
    private func resolve(_ name: String, for row: Int64) async throws(ClientError) {
        do throws(ClientError) {
            let (user, trouble) = try await fetchStoring { () async throws(ClientError) in
                try await self.api.user(named: name, token: try await self.currentToken())
            }
            if let trouble { throw .refused(Refusal(code: trouble.code, message: trouble.reason, status: 409)) }
            resolvedUsers[name] = UserID(user.userID)
        } catch {
            guard case .refused(let refusal) = error, !refusal.isTemporary, refusal.status != 401 else { throw error }
            window.drop([row])
            try bury([row], refusal.code == "user_unknown" ? Refusal(code: refusal.code, message: "the relay knows no user \(name)") : refusal)
        }
    }

    private func bury(_ rows: [Int64], _ refusal: Refusal) throws(ClientError) {
        let state = try working()
        let dead = try state.transaction { try rows.flatMap { try state.bury($0, code: refusal.code, reason: refusal.message) } }
        for letter in dead { events(.dead(letter)) }
        checkWaiters()
    }

    /// Asks for a chat and stores it. When keys changed while the answer was on its way, the answer may be older than what is known: it is asked for
    /// again before the relay is said to go back to older keys.
    /// - Parameter chat: nil when only the answer says which one it is.
    /// - Returns: the chat of the answer.
    @discardableResult
    private func fetch(_ chat: ChatID?, _ ask: () async throws(ClientError) -> Relay_V1_Chat) async throws(ClientError) -> ChatID? {
        var answered: ChatID?
        for _ in 0..<Limits.deviceListRetries {
            let before = keyChanges
            let known = try membersSeq(of: chat)
            let answer = try await ask()
            try store(answer, asked: known)
            answered = ChatID(answer.chatID)
            if before == keyChanges { break }
        }
        return answered
    }

    /// The same for a user. Gives what is wrong with their devices, too.
    private func fetchStoring(
        _ ask: () async throws(ClientError) -> Relay_V1_User
    ) async throws(ClientError) -> (user: Relay_V1_User, trouble: (code: String, reason: String)?) {
        for number in 1... {
            let before = keyChanges
            let user = try await ask()
            let state = try working()
            let trouble = try state.transaction { try store(user, state) }
            if before == keyChanges || number == Limits.deviceListRetries { return (user, trouble) }
        }
        throw .stopped
    }

    /// Up to where the members of a chat are known now, for ``ClientState/storeGroup(_:members:at:joined:left:asked:)``.
    private func membersSeq(of chat: ChatID?) throws(ClientError) -> UInt64? {
        guard let chat else { return nil }
        let state = try working()
        return try state.storing { try state.membersSeq(of: chat) }
    }

    /// Stores a chat with its members' active devices, each of which must vouch for its own keys.
    private func store(_ chat: Relay_V1_Chat, asked: UInt64?) throws(ClientError) {
        let id = ChatID(chat.chatID)
        guard chat.chatID > 0 else { throw .protocolViolation("a chat without an identifier") }
        let state = try working()
        try state.transaction {
            switch chat.kind {
            case .group:
                // Roles stand in the order of the members.
                let members = chat.members.enumerated().map { index, member in
                    (user: UserID(member.userID), role: (index < chat.roles.count ? GroupRole(chat.roles[index]) : nil) ?? .member)
                }
                try state.storeGroup(id, members: members, at: chat.lastSeq, joined: chat.joinedSeq, left: chat.leftSeq, asked: asked)
            case .notes: try state.markNotes(id)
            default: try state.storeChat(id, members: chat.members.map { UserID($0.userID) })
            }
            for member in chat.members { _ = try store(member, state) }
        }
        knownRecipients[id] = nil
    }

    /// Stores a device that is in no chat's list any more: its keys open what it sent before it was revoked.
    private func store(_ device: Relay_V1_Device) throws(ClientError) {
        let (identity, agreement) = (Array(device.keys.identityKey), Array(device.keys.agreementKey))
        guard device.deviceID > 0, device.userID > 0,
            Signing.verifyAgreement(identityKey: identity, agreementKey: agreement, signature: Array(device.keys.agreementSignature))
        else { return }
        let state = try working()
        try state.transaction {
            try state.storeFormer(
                KnownDevice(
                    id: DeviceID(device.deviceID), user: UserID(device.userID), name: device.name, identityKey: identity, agreementKey: agreement,
                    active: false))
        }
    }

    /// Stores a user with all their active devices. Gives what is wrong with these, which stops what would be sealed for them.
    @discardableResult
    func store(_ user: Relay_V1_User, _ state: ClientState) throws -> (code: String, reason: String)? {
        let id = UserID(user.userID)
        var devices: [KnownDevice] = []
        var trouble: (String, String)?
        for device in user.devices {
            let (identity, agreement) = (Array(device.keys.identityKey), Array(device.keys.agreementKey))
            guard Signing.verifyAgreement(identityKey: identity, agreementKey: agreement, signature: Array(device.keys.agreementSignature)) else {
                trouble = ("keys_invalid", "a device of \(user.name) publishes keys that it did not sign")
                continue
            }
            devices.append(
                KnownDevice(
                    id: DeviceID(device.deviceID), user: id, name: device.name, identityKey: identity, agreementKey: agreement, active: true,
                    agreementVersion: max(1, device.keys.agreementVersion)))
        }
        let refused = try state.store(user: id, name: user.name, displayName: user.displayName, devices: devices)
        if refused.values.contains(.identity) {
            trouble = ("key_changed", "a device of \(user.name) has another identity key than before")
        } else if refused.values.contains(.older) {
            // Somebody may have got hold of what opens the older key: whoever made the relay go back to it must not gain by that.
            trouble = (
                "key_rollback", "the relay gives an older key of a device of \(user.name) than before; it helps when that device changes its key"
            )
        }
        unsafeUsers[id] = trouble
        return trouble
    }

    /// Asks the relay for what an envelope needs, and goes on when the answer is stored.
    func look(_ lookup: Lookup) {
        guard !lookingUp else { return }
        lookingUp = true
        let connection = connectionNumber
        Task {
            var problem: ClientError?
            do throws(ClientError) {
                switch lookup {
                case .chat(let chat, _): try await answer { () async throws(ClientError) in try await self.fetchChat(chat) }
                case .users(let users):
                    for user in users { try await answer { () async throws(ClientError) in try await self.fetchUser(user) } }
                case .sender(let user, let device):
                    try await answer { () async throws(ClientError) in try await self.fetchUser(user) }
                    // A device that its user has no more still vouches for what it sent before.
                    if try working().transaction({ try working().device(device) }) == nil {
                        try await answer { () async throws(ClientError) in
                            try self.store(try await self.api.device(device, token: try await self.currentToken()))
                        }
                    }
                }
            } catch {
                problem = error
            }
            guard connection == connectionNumber else { return }
            lookingUp = false
            if let problem { return giveUpConnection(problem) }
            if lookedUp.count >= Limits.clientEnvelopesWaiting { lookedUp = [] }
            lookedUp.insert(lookup)
            burst()
        }
    }

    private func fetchChat(_ chat: ChatID) async throws(ClientError) {
        try await fetch(chat) { () async throws(ClientError) in try await self.api.chat(chat, token: try await self.currentToken()) }
    }

    private func fetchUser(_ user: UserID) async throws(ClientError) {
        _ = try await fetchStoring { () async throws(ClientError) in try await self.api.user(user, token: try await self.currentToken()) }
        knownRecipients = [:]
    }

    private func answer(_ question: () async throws(ClientError) -> Void) async throws(ClientError) {
        do throws(ClientError) { try await question() } catch { try ignoreRefusal(error) }
    }

    /// What the relay does not know (any more) is a fact to go on with.
    func ignoreRefusal(_ error: ClientError) throws(ClientError) {
        guard case .refused(let refusal) = error, !refusal.isTemporary, refusal.status != 401 else { throw error }
    }
}
