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
        try state.storeSent(sealed.row, place, by: account)
        effects.events.append(.sent(id: sealed.row, place))
    }

    func apply(_ error: Relay_V1_Error, request: UInt64, _ state: ClientState, _ effects: inout Effects) throws {
        // An answer to an acknowledgement or a read needs nothing done.
        guard let number = requests.removeValue(forKey: request) else { return }
        switch error.code {
        case "device_set_mismatch":
            if let chat = window.mustReseal(number) { staleChats.insert(chat) }
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
            if error.code == "recipient_gone" || error.code == "chat_unknown" { try state.markGone(sealed.chat) }
            if let dead = try state.bury(sealed.row, code: error.code, reason: error.message) { effects.events.append(.dead(dead)) }
        }
    }

    /// Sends what is sealed, as far as the window allows.
    func pump(_ state: ClientState) throws(ClientError) {
        for sealed in window.take() {
            let bytes = try state.transaction { try state.sealedBytes(sealed.row) }
            guard let bytes, let send = try? Relay_V1_Send(serializedBytes: bytes) else {
                throw .store("a sealed message of the outbox is damaged")
            }
            var frame = Relay_V1_ClientFrame()
            frame.requestID = nextRequest
            frame.send = send
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
        var stale: [ChatID] = []
        for chat in window.resealable() {
            if staleChats.contains(chat) {
                stale.append(chat)
            } else {
                var again: [SendWindow.Sealed] = []
                for sealed in window.takeForResealing(chat) {
                    guard let entry = try state.outboxEntry(sealed.row) else { continue }
                    if let sealed = try seal(entry, chat, state, &effects) { again.append(sealed) }
                }
                window.add(again)
            }
        }
        if !stale.isEmpty {
            effects.prepare = .refetch(stale)
            return
        }
        guard window.room > 0 else { return }
        var sealed: [SendWindow.Sealed] = []
        for entry in try state.unsealed(limit: window.room) {
            guard let chat = try state.openChat(with: entry.recipient) else {
                effects.prepare = .openChat(recipient: entry.recipient)
                break
            }
            if let one = try seal(entry, chat, state, &effects) { sealed.append(one) }
        }
        window.add(sealed)
    }

    /// Gives one message its number and seals it for the devices of its chat. Nil when that cannot be: it is a dead letter then.
    private func seal(_ entry: OutboxEntry, _ chat: ChatID, _ state: ClientState, _ effects: inout Effects) throws -> SendWindow.Sealed? {
        func bury(_ code: String, _ reason: String) throws {
            if let dead = try state.bury(entry.id, code: code, reason: reason) { effects.events.append(.dead(dead)) }
        }
        if let (code, reason) = unsafeChats[chat] {
            try bury(code, reason)
            return nil
        }
        let recipients: [KnownDevice]
        if let known = knownRecipients[chat] {
            recipients = known
        } else {
            recipients = try state.recipients(in: chat)
            knownRecipients[chat] = recipients
        }
        var content = Relay_Client_V1_Content()
        content.text.text = entry.text
        content.writtenAtMs = entry.writtenAt.milliseconds
        let number = try state.highestClientMessageID() + 1
        let header = EnvelopeHeader(chat: chat, senderUser: account.user, senderDevice: account.device, clientMessageID: number)
        let envelope: SealedEnvelope
        do {
            envelope = try EnvelopeV1.seal(
                try content.serializedBytes(), header: header, sender: secrets,
                recipients: recipients.map { (user: $0.user, device: $0.id, agreementKey: $0.agreementKey) }, entropy: settings.entropy)
        } catch let error as CryptoError {
            try bury(error == .tooLarge ? "content_too_large" : "keys_invalid", error.description)
            return nil
        }
        guard envelope.body.count <= maxBodyBytes else {
            try bury("too_large", "the sealed message has \(envelope.body.count) bytes, this relay takes at most \(maxBodyBytes)")
            return nil
        }
        var send = Relay_V1_Send()
        send.chatID = chat.rawValue
        send.clientMessageID = number
        send.body = Data(envelope.body)
        for key in envelope.keys {
            if send.keys.last?.userID != key.user.rawValue {
                var member = Relay_V1_MemberKeys()
                member.userID = key.user.rawValue
                send.keys.append(member)
            }
            var wrapped = Relay_V1_WrappedKey()
            wrapped.deviceID = key.device.rawValue
            wrapped.key = Data(key.key)
            send.keys[send.keys.count - 1].devices.append(wrapped)
        }
        try state.storeSealed(entry.id, chat: chat, clientMessageID: number, try send.serializedBytes())
        return SendWindow.Sealed(row: entry.id, chat: chat, clientMessageID: number)
    }
}
