import RelayCrypto
import RelayModel
import RelayWire
import SwiftProtobuf

/// From the mailbox into the history: opening envelopes in order.
extension Session {
    /// Stores the envelopes whose senders are known, in order, up to the first one that must be looked up.
    func storeWaiting(_ state: ClientState, _ effects: inout Effects) throws {
        var cursor = try state.cursor()
        var done = 0
        for envelope in waitingEnvelopes {
            if envelope.mailboxSeq <= cursor {
                done += 1
                continue
            }
            // What was announced in this chat comes before it.
            if behind[ChatID(envelope.chatID)] != nil { break }
            if let lookup = try missing(for: envelope, state) {
                if effects.lookup == nil { effects.lookup = lookup }
                break
            }
            try store(envelope, mailboxSeq: envelope.mailboxSeq, state, &effects)
            cursor = envelope.mailboxSeq
            effects.acknowledge = cursor
            done += 1
        }
        waitingEnvelopes.removeFirst(done)
        if waitingEnvelopes.isEmpty, behind.isEmpty, let seq = caughtUpAt {
            caughtUpAt = nil
            try state.setCursor(seq)
            effects.caughtUp = true
        }
    }

    /// What must be asked before the envelope can be stored; nil when nothing is missing, or the relay has no answer.
    func missing(for envelope: Relay_V1_Envelope, _ state: ClientState) throws -> Lookup? {
        func unless(_ lookup: Lookup) -> Lookup? { lookedUp.contains(lookup) ? nil : lookup }
        let chat = ChatID(envelope.chatID)
        // One's own notes need nothing.
        if envelope.hasDeletion, envelope.deletion.chatID != envelope.chatID { return nil }
        if try !state.knowsChat(chat), let lookup = unless(.chat(chat, at: 0)) { return lookup }
        if envelope.hasEvent, envelope.event.action == .add {
            // What happened while one was not a member is not in the stream.
            if envelope.event.userIds.contains(account.user.rawValue), try state.isFormer(chat),
                let lookup = unless(.chat(chat, at: envelope.chatSeq))
            {
                return lookup
            }
            let strangers = try envelope.event.userIds.map { UserID($0) }.filter { try !state.knowsUser($0) }
            if !strangers.isEmpty, let lookup = unless(strangers.count > Limits.clientLookups ? .chat(chat, at: envelope.chatSeq) : .users(strangers))
            {
                return lookup
            }
        }
        guard !envelope.body.isEmpty, envelope.senderDeviceID > 0, try state.device(DeviceID(envelope.senderDeviceID)) == nil,
            try !envelope.key.isEmpty || state.hasGivenKey(chat, envelope.chatSeq)
        else { return nil }
        return unless(.sender(UserID(envelope.senderUserID), DeviceID(envelope.senderDeviceID)))
    }

    /// - Parameter mailboxSeq: nil for what was fetched.
    func store(_ envelope: Relay_V1_Envelope, mailboxSeq: UInt64?, _ state: ClientState, _ effects: inout Effects) throws {
        let place = SentPlace(
            chat: ChatID(envelope.chatID), clientMessageID: envelope.clientMessageID, message: MessageID(envelope.messageID),
            chatSeq: envelope.chatSeq,
            sentAt: Timestamp(milliseconds: envelope.sentAtMs))
        if envelope.gone { return try state.storeGone(place.chat, upTo: place.chatSeq, mailboxSeq: mailboxSeq) }
        try makeRoom(for: place, state)
        let own = envelope.senderDeviceID == account.device.rawValue
        if own, let sealed = window.answered(envelope.clientMessageID) {
            // The relay has it, whatever became of its answer.
            try accept(sealed.row, place, state, &effects)
        }
        if envelope.hasDeletion {
            let (chat, seqs) = (ChatID(envelope.deletion.chatID), envelope.deletion.chatSeqs)
            let forEveryone = chat == place.chat
            try state.applyDeletion(chat, seqs, forEveryone: forEveryone)
            if !own {
                effects.events.append(.deleted(chat: chat, seqs: seqs, forEveryone: forEveryone, by: UserID(envelope.senderUserID)))
            }
            guard forEveryone else {
                try state.markNotes(place.chat)
                if let mailboxSeq { try state.setCursor(mailboxSeq) }
                return
            }
        }
        var entry = HistoryEntry(
            chat: place.chat, chatSeq: place.chatSeq, message: place.message, senderUser: UserID(envelope.senderUserID),
            senderDevice: DeviceID(envelope.senderDeviceID), clientMessageID: envelope.clientMessageID, sentAt: place.sentAt)
        let content = try fill(&entry, from: envelope, state)
        if case .change(let change) = entry.kind, change.action == .add, change.users.contains(account.user) {
            try state.beginStay(entry.chat, at: entry.chatSeq)
        }
        switch entry.kind {
        case .message, .deleted, .technical:
            entry.hidden = try settings.hidesBlockedSenders && entry.senderUser != account.user && state.blocks(entry.senderUser)
        // Who is in a group, and what is deleted, concerns everybody.
        case .change, .deletion: break
        }
        guard try state.storeReceived(entry, mailboxSeq: mailboxSeq) == .new else { return }
        if entry.kind == .message, entry.problem == HistoryEntry.unopened, !own, !entry.hidden { try askAgain(&entry, state) }
        if case .change(let change) = entry.kind {
            try state.apply(change, title: entry.text, in: entry.chat, at: entry.chatSeq, by: entry.senderUser, me: account.user)
            try changed(entry.chat, by: change, state)
        }
        guard !own, !entry.hidden else { return }
        if entry.kind == .technical {
            switch content?.kind {
            case .resendRequest(let request): try answer(request, from: entry, state, &effects)
            case .resent(let resent): try take(resent, from: entry, state, &effects)
            default: break
            }
            return
        }
        entry = try state.withNames(entry, account)
        switch entry.kind {
        case .message:
            // It may have been deleted before it came.
            guard try state.deletion(entry.chat, entry.chatSeq) == nil else { return }
            effects.events.append(entry.problem == nil ? .received(entry) : .unreadable(entry))
            if settings.readsEverything, entry.problem == nil, entry.senderUser != account.user {
                try state.storeRead(entry.chat, entry.chatSeq)
                effects.reads[entry.chat] = max(effects.reads[entry.chat] ?? 0, entry.chatSeq)
            }
        case .change: effects.events.append(.changed(entry))
        case .deletion, .deleted, .technical: break
        }
    }

    /// Before something is stored at a place that the relay gave. When it was set back, so were the changes of the group: who is in it is asked.
    func makeRoom(for place: SentPlace, _ state: ClientState) throws {
        guard try state.makeRoom(in: place.chat, at: place.chatSeq, for: place.message) > 0 else { return }
        knownRecipients[place.chat] = nil
        if try state.isGroup(place.chat) { refreshes.insert(place.chat) }
    }

    /// Who is in the chat has changed: whom to seal for is looked at anew, and who owns the group now is asked when nobody here does.
    func changed(_ chat: ChatID, by change: GroupChangeRecord, _ state: ClientState) throws {
        switch change.action {
        case .rename: return
        case .create, .add: break
        case .remove, .leave, .setRole: if try state.lacksAnOwner(chat) { refreshes.insert(chat) }
        }
        knownRecipients[chat] = nil
    }

    /// What kind of place it is, and what is in the envelope.
    /// - Returns: the content of a message that could be opened.
    private func fill(
        _ entry: inout HistoryEntry, from envelope: Relay_V1_Envelope, _ state: ClientState
    ) throws -> Relay_Client_V1_Content? {
        if envelope.deleted {
            entry.kind = .deleted(forEveryone: try state.deletion(entry.chat, entry.chatSeq) ?? true)
            return nil
        }
        if envelope.hasDeletion {
            entry.kind = .deletion(envelope.deletion.chatSeqs)
            return nil
        }
        let given = try state.takeGivenKey(entry.chat, entry.chatSeq)
        let content: Result<Relay_Client_V1_Content, Problem>? =
            envelope.body.isEmpty
            ? nil : open(envelope, from: try state.device(DeviceID(envelope.senderDeviceID)), given: given, keeping: &entry.contentKey)
        if envelope.hasEvent {
            guard let change = GroupChangeRecord(envelope.event) else {
                entry.problem = "this change of the group needs a newer client"
                return nil
            }
            entry.kind = .change(change)
            // A title that cannot be read (sealed before this device was enrolled, or not by a member's device) is none.
            if case .success(let content) = content, case .groupTitle(let title) = content.kind {
                entry.text = String(title.title.prefix(Limits.groupTitleCharacters))
                entry.writtenAt = content.writtenAt
            }
            return nil
        }
        switch content {
        case .success(let content):
            switch content.kind {
            case .text(let text):
                entry.text = text.text
                entry.writtenAt = content.writtenAt
            case .resendRequest, .resent: entry.kind = .technical
            default: entry.problem = "this kind of content needs a newer client"
            }
            return content
        case .failure(let problem): entry.problem = problem.text
        case nil: entry.problem = "the message is empty"
        }
        return nil
    }

    struct Problem: Error {
        var text: String
    }

    /// - Parameters:
    ///   - given: the key of a message from before this device's time, which the device that linked it has given.
    ///   - contentKey: what opened the body.
    private func open(
        _ envelope: Relay_V1_Envelope, from device: KnownDevice?, given: [UInt8]?, keeping contentKey: inout [UInt8]?
    ) -> Result<Relay_Client_V1_Content, Problem> {
        guard !envelope.key.isEmpty || given != nil else { return .failure(Problem(text: HistoryEntry.beforeEnrolment)) }
        guard let device else { return .failure(Problem(text: "the relay does not know the sender's device any more")) }
        guard device.user.rawValue == envelope.senderUserID else { return .failure(Problem(text: "the sender's device belongs to another user")) }
        let header = EnvelopeHeader(
            chat: ChatID(envelope.chatID), senderUser: UserID(envelope.senderUserID), senderDevice: DeviceID(envelope.senderDeviceID),
            clientMessageID: envelope.clientMessageID)
        let body = Array(envelope.body)
        if envelope.key.isEmpty, let given {
            return content(of: body, given, header, from: device, keeping: &contentKey)
        }
        let content = open(body, key: Array(envelope.key), version: envelope.keyVersion, header, from: device, keeping: &contentKey)
        if case .failure(let problem) = content, problem.text == HistoryEntry.unopened, envelope.keyVersion > keys.version, keys.pending == nil {
            keyIsOutdated = true
        }
        return content
    }

    /// Opens what was sealed for one of this device's agreement keys.
    /// - Parameter contentKey: what opened the body.
    func open(
        _ body: [UInt8], key: [UInt8], version: UInt32, _ header: EnvelopeHeader, from device: KnownDevice, keeping contentKey: inout [UInt8]?
    ) -> Result<Relay_Client_V1_Content, Problem> {
        for secret in keys.candidates(for: version) {
            let unwrapped: [UInt8]
            do throws(CryptoError) { unwrapped = try EnvelopeV1.unwrap(key, of: body, agreement: secret) } catch {
                // Sealed for another one of the keys, perhaps.
                if error == .openFailed { continue }
                return .failure(Problem(text: error.description))
            }
            return content(of: body, unwrapped, header, from: device, keeping: &contentKey)
        }
        return .failure(Problem(text: HistoryEntry.unopened))
    }

    private func content(
        of body: [UInt8], _ key: [UInt8], _ header: EnvelopeHeader, from device: KnownDevice, keeping contentKey: inout [UInt8]?
    ) -> Result<Relay_Client_V1_Content, Problem> {
        let bytes: [UInt8]
        do throws(CryptoError) {
            bytes = try EnvelopeV1.open(body: body, contentKey: key, header: header, senderIdentityKey: device.identityKey)
        } catch {
            // What somebody sealed so that nobody can open it is asked for again as what this device has no key for.
            return .failure(Problem(text: error == .openFailed ? HistoryEntry.unopened : error.description))
        }
        guard let content = try? Relay_Client_V1_Content(serializedBytes: bytes) else { return .failure(Problem(text: "the content is malformed")) }
        contentKey = key
        return .success(content)
    }
}

extension Relay_Client_V1_Content {
    /// When its sender wrote it, as nobody but the sender says: what lies outside of the calendar is moved to its nearest end.
    var writtenAt: Timestamp { Timestamp(milliseconds: min(max(0, writtenAtMs), Limits.writtenAtMilliseconds)) }
}
