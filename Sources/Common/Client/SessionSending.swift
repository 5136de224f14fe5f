import FoundationEssentials
import NIOCore
import RelayCrypto
import RelayModel
import RelayWire
import SwiftProtobuf

/// From the outbox to the relay: sealing, the window, the relay's answers.
extension Session {
    func apply(_ sent: Relay_V1_Sent, request: UInt64, _ state: ClientState, _ effects: inout Effects) throws {
        requests[request] = nil
        guard let sealed = window.answered(sent.clientMessageID) else { return }
        let place = SentPlace(
            chat: ChatID(sent.chatID), clientMessageID: sent.clientMessageID, message: MessageID(sent.messageID), chatSeq: sent.chatSeq,
            sentAt: Timestamp(milliseconds: sent.sentAtMs))
        try accept(sealed.row, place, state, &effects)
    }

    /// The relay has an entry of the outbox: what it asked for is done here too.
    func accept(_ row: Int64, _ place: SentPlace, _ state: ClientState, _ effects: inout Effects) throws {
        try makeRoom(for: place, state)
        if !fruitless.isEmpty { fruitless[.chat(place.chat)] = nil }
        switch try state.storeSent(row, place, by: account) {
        case nil: return
        case .message, .deletion: break
        case .change(let entry):
            guard case .change(let change) = entry.kind else { break }
            try changed(entry.chat, by: change, state)
            // A new group's members are known by name only.
            if change.action == .create { staleChats.insert(entry.chat) }
        }
        effects.events.append(.sent(id: row, place))
    }

    func apply(_ error: Relay_V1_Error, request: UInt64, _ state: ClientState, _ effects: inout Effects) throws {
        guard let number = requests.removeValue(forKey: request) else {
            // An answer to an acknowledgement or a read: a read that came too fast is sent again, the others need nothing done.
            if request > 0, error.code == "rate_limited" { effects.readAgain = .milliseconds(Int64(error.retryAfterMs)) }
            return
        }
        switch error.code {
        case "device_set_mismatch":
            if let chat = window.mustReseal(number) { staleChats.insert(chat) }
            // The newcomers of an ADD are not in the chat that is fetched.
            resolvedUsers = [:]
        case "client_message_id_used":
            _ = window.mustReseal(number)
            try state.setHighestClientMessageID(error.highestClientMessageID)
        // A suspended user's messages wait for the end of the suspension.
        case "overloaded", "rate_limited", "user_suspended", "restarting", "internal", "timeout":
            window.mustWait(number)
            effects.pauseSending = max(
                effects.pauseSending ?? .zero,
                error.retryAfterMs > 0 ? .milliseconds(Int64(error.retryAfterMs)) : Backoff.jitter(upTo: .seconds(1), using: &jitter))
        default:
            guard let sealed = window.answered(number) else { return }
            let entry = try state.outboxEntry(sealed.row)
            if entry?.target != nil {
                // The group is not as this device took it to be.
                if ["chat_unknown", "not_permitted", "member_unknown", "already_member"].contains(error.code) { refreshes.insert(sealed.chat) }
            } else if error.code == "recipient_gone" || error.code == "chat_unknown" {
                try state.markGone(sealed.chat)
            }
            resolvedUsers = [:]
            for dead in try state.bury(sealed.row, code: error.code, reason: error.message) { effects.events.append(.dead(dead)) }
        }
    }

    /// Sends what is sealed, as far as the window allows.
    func pump(_ state: ClientState) throws(ClientError) {
        for sealed in window.take() {
            let (entry, bytes) = try state.transaction { (try state.outboxEntry(sealed.row), try state.sealedBytes(sealed.row)) }
            var frame = Relay_V1_ClientFrame()
            frame.requestID = nextRequest
            do {
                switch entry?.command {
                case nil, .requestResend, .resend: frame.send = try Relay_V1_Send(serializedBytes: bytes ?? [])
                case .delete: frame.delete = try Relay_V1_Delete(serializedBytes: bytes ?? [])
                default: frame.groupChange = try Relay_V1_GroupChange(serializedBytes: bytes ?? [])
                }
            } catch { throw .store("a sealed entry of the outbox is damaged") }
            requests[nextRequest] = sealed.clientMessageID
            nextRequest += 1
            write(frame)
        }
    }

    func resumeSending(after pause: Duration) {
        pumpAfter?.cancel()
        pumpAfter = loop.scheduleTask(in: TimeAmount(pause)) { [weak self] in
            self?.assumeIsolated { session in
                if session.window.resume() { session.burst() } else { session.resumeSending(after: .milliseconds(100)) }
            }
        }
    }

    /// Numbers and seals what the window has room for: first what was refused, then what was written next.
    func seal(_ state: ClientState, _ effects: inout Effects) throws {
        guard !preparing else { return }
        let resealable = window.resealable()
        let stale = resealable.filter { staleChats.contains($0) }
        if !stale.isEmpty {
            effects.prepare = .refetch(stale)
            return
        }
        for chat in resealable {
            // Looked at before they are taken out of the window: what must wait stays there.
            for sealed in window.held(chat) {
                guard let entry = try state.outboxEntry(sealed.row), let need = try needs(entry, state) else { continue }
                effects.prepare = need
                return
            }
            var again: [SendWindow.Sealed] = []
            for sealed in window.takeForResealing(chat) {
                guard let entry = try state.outboxEntry(sealed.row) else { continue }
                if let sealed = try seal(entry, state, &effects) { again.append(sealed) }
            }
            window.add(again)
        }
        guard window.room > 0 else { return }
        var sealed: [SendWindow.Sealed] = []
        for entry in try state.unsealed(limit: window.room) {
            // The group that it is for does not exist yet.
            if entry.follows != nil { continue }
            // It carries this device's key, which others know to be an older one: the new one is on its way.
            if keyIsOutdated, settings.replacesKeyAfter != nil, case .requestResend = entry.command { continue }
            if let need = try needs(entry, state) {
                effects.prepare = need
                break
            }
            if let one = try seal(entry, state, &effects) { sealed.append(one) }
        }
        window.add(sealed)
    }

    /// What must be asked of the relay before the entry can be sealed.
    private func needs(_ entry: OutboxEntry, _ state: ClientState) throws -> Preparation? {
        let strangers = try (entry.command?.users ?? []).filter { try user(named: $0, for: entry, state) == nil }
        if !strangers.isEmpty { return .users(strangers, row: entry.id) }
        switch entry.command {
        case nil where entry.target == nil:
            return try state.openChat(with: entry.recipient) == nil ? .openChat(recipient: entry.recipient) : nil
        case nil, .add, .rename, .requestResend, .resend:
            guard let chat = entry.target, try !state.isFormer(chat) else { return nil }
            return try staleChats.contains(chat) || !state.knowsChat(chat) ? .refetch([chat]) : nil
        case .create, .remove, .leave, .setRole, .delete: return nil
        }
    }

    /// Who a name stands for in a change. Members are known by name; of everybody else the relay has the last word.
    private func user(named name: String, for entry: OutboxEntry, _ state: ClientState) throws -> UserID? {
        switch entry.command {
        case .remove, .setRole:
            if let chat = entry.target, let member = try state.member(named: name, of: chat) { return member }
        default: break
        }
        return resolvedUsers[name]
    }

    private func bury(_ entry: OutboxEntry, _ code: String, _ reason: String, _ state: ClientState, _ effects: inout Effects) throws {
        for dead in try state.bury(entry.id, code: code, reason: reason) { effects.events.append(.dead(dead)) }
    }

    /// Gives an entry its number, and seals what it carries for the devices of its chat. Nil when that cannot be: it is a dead letter then.
    private func seal(_ entry: OutboxEntry, _ state: ClientState, _ effects: inout Effects) throws -> SendWindow.Sealed? {
        let number = try state.highestClientMessageID() + 1
        var chat = ChatID(0)
        if let target = entry.target {
            chat = target
        } else if entry.command == nil {
            guard let open = try state.openChat(with: entry.recipient) else { return nil }
            chat = open
        }
        // One may delete what one has of a group that one has left.
        if entry.target != nil, try state.isFormer(chat) {
            if case .delete(_, forEveryone: false) = entry.command {
            } else {
                try bury(entry, "left_group", "this user is no member of the group any more", state, &effects)
                return nil
            }
        }
        let bytes: [UInt8]
        var key: [UInt8]?
        do {
            switch entry.command {
            case nil: bytes = try message(entry, chat, number, state, &key).serializedBytes()
            case .requestResend, .resend: bytes = try technical(entry, chat, number, state).serializedBytes()
            case .delete(let seqs, let forEveryone):
                var delete = Relay_V1_Delete()
                delete.chatID = chat.rawValue
                delete.clientMessageID = number
                delete.chatSeqs = seqs
                delete.forEveryone = forEveryone
                bytes = try delete.serializedBytes()
            case let command?: bytes = try change(entry, command, chat, number, state, &key).serializedBytes()
            }
        } catch let refusal as Unsealable {
            try bury(entry, refusal.code, refusal.reason, state, &effects)
            return nil
        }
        try state.storeSealed(entry.id, chat: chat, clientMessageID: number, bytes, key: key)
        return SendWindow.Sealed(row: entry.id, chat: chat, clientMessageID: number)
    }

    struct Unsealable: Error {
        var code: String
        var reason: String
    }

    private func message(
        _ entry: OutboxEntry, _ chat: ChatID, _ number: UInt64, _ state: ClientState, _ key: inout [UInt8]?
    ) throws -> Relay_V1_Send {
        // Written before this device heard of the block.
        if entry.target == nil {
            do throws(ClientError) { try refuseBlocked(entry.recipient, state) } catch {
                switch error {
                case .blocked: throw Unsealable(code: "blocked", reason: error.description)
                case .youBlock: throw Unsealable(code: "you_block", reason: error.description)
                default: throw error
                }
            }
        }
        var content = Relay_Client_V1_Content()
        content.text.text = entry.text
        content.writtenAtMs = entry.writtenAt.milliseconds
        var send = Relay_V1_Send()
        send.chatID = chat.rawValue
        send.clientMessageID = number
        (send.body, send.keys, key) = try sealed(content, chat, number, for: try recipients(in: chat, state))
        return send
    }

    private func change(
        _ entry: OutboxEntry, _ command: OutboxCommand, _ chat: ChatID, _ number: UInt64, _ state: ClientState, _ key: inout [UInt8]?
    ) throws -> Relay_V1_GroupChange {
        var change = Relay_V1_GroupChange()
        change.chatID = chat.rawValue
        change.clientMessageID = number
        change.userIds = try command.users.map { name in
            guard let user = try user(named: name, for: entry, state) else { throw Unsealable(code: "user_unknown", reason: "nobody knows \(name)") }
            return user.rawValue
        }.sorted()
        var title: String?
        switch command {
        case .create: change.action = .create
        case .add:
            change.action = .add
            // Newcomers could not read it anywhere else.
            title = try state.title(of: chat)
        case .remove: change.action = .remove
        case .leave: change.action = .leave
        case .rename:
            change.action = .rename
            title = entry.text
        case .setRole(_, let role):
            change.action = .setRole
            change.role = Relay_V1_GroupRole(role)
        case .delete, .requestResend, .resend: break
        }
        guard let title else { return change }
        var content = Relay_Client_V1_Content()
        content.groupTitle.title = title
        content.writtenAtMs = entry.writtenAt.milliseconds
        var devices = try recipients(in: chat, state)
        if case .add = command {
            let members = Set(devices.map(\.user))
            for user in change.userIds.map({ UserID($0) }) where !members.contains(user) {
                devices += try state.devices(of: user).filter(\.active)
            }
            devices.sort { ($0.user, $0.id) < ($1.user, $1.id) }
        }
        (change.body, change.keys, key) = try sealed(content, chat, number, for: devices)
        return change
    }

    /// Everybody's active devices, by user and device; kept until the members or their devices change.
    func recipients(in chat: ChatID, _ state: ClientState) throws -> [KnownDevice] {
        if !unsafeUsers.isEmpty, let user = try state.memberIDs(of: chat).first(where: { unsafeUsers[$0] != nil }),
            let (code, reason) = unsafeUsers[user]
        {
            throw Unsealable(code: code, reason: reason)
        }
        if let known = knownRecipients[chat] { return known }
        let recipients = try state.recipients(in: chat)
        if let user = try state.unverified(among: recipients.map(\.user)) {
            let name = try state.userName(user) ?? "\(user)"
            throw Unsealable(
                code: "safety_number_changed",
                reason: "the devices of \(name) are not those that you verified; compare the numbers again: `chatctl client safety show \(name)`")
        }
        knownRecipients[chat] = recipients
        return recipients
    }

    func sealed(
        _ content: Relay_Client_V1_Content, _ chat: ChatID, _ number: UInt64, for recipients: [KnownDevice]
    ) throws -> (Data, [Relay_V1_MemberKeys], contentKey: [UInt8]) {
        let header = EnvelopeHeader(chat: chat, senderUser: account.user, senderDevice: account.device, clientMessageID: number)
        let envelope: SealedEnvelope
        do {
            envelope = try EnvelopeV1.seal(
                try content.serializedBytes(), header: header, sender: secrets,
                recipients: recipients.map { (user: $0.user, device: $0.id, agreementKey: $0.agreementKey) }, entropy: settings.entropy)
        } catch let error as CryptoError {
            throw Unsealable(code: error == .tooLarge ? "content_too_large" : "keys_invalid", reason: error.description)
        }
        guard envelope.body.count <= maxBodyBytes else {
            throw Unsealable(
                code: "too_large", reason: "the sealed message has \(envelope.body.count) bytes, this relay takes at most \(maxBodyBytes)")
        }
        var keys: [Relay_V1_MemberKeys] = []
        let versions = Dictionary(recipients.map { ($0.id, $0.agreementVersion) }, uniquingKeysWith: { first, _ in first })
        for key in envelope.keys {
            if keys.last?.userID != key.user.rawValue {
                keys.append(Relay_V1_MemberKeys())
                keys[keys.count - 1].userID = key.user.rawValue
            }
            var wrapped = Relay_V1_WrappedKey()
            wrapped.deviceID = key.device.rawValue
            wrapped.key = Data(key.key)
            // So that the relay refuses it when the device cannot open it any more, and the device knows which secret opens it.
            wrapped.keyVersion = versions[key.device] ?? 0
            keys[keys.count - 1].devices.append(wrapped)
        }
        return (Data(envelope.body), keys, envelope.contentKey)
    }
}
