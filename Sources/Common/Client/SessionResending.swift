import FoundationEssentials
import RelayCrypto
import RelayModel
import RelayWire
import SwiftProtobuf

/// A message that no key of this device opens is asked for again, of the one device that sent it; that one seals it anew.
///
/// Both ways it is a message of the chat, so it waits in outboxes and mailboxes as every other does. What is sent again is sealed twice: the chat's members
/// of today receive it all, and some of them were not there when it was written.
extension Session {
    // MARK: Asking

    /// Asks for a message that just came, and says so in its entry.
    func askAgain(_ entry: inout HistoryEntry, _ state: ClientState) throws {
        guard let device = try state.device(entry.senderDevice) else { return }
        let name = "\(entry.senderUser == account.user ? "your " : "")\(device.name)"
        let reason: String
        if !device.active {
            reason = "\(name) is gone and cannot be asked for it"
        } else if try state.outboxCount() >= Limits.clientOutbox {
            reason = "the outbox is full"
        } else {
            let record = ClientState.ResendRequestRecord(device: device.id, clientMessageID: entry.clientMessageID)
            let now = settings.clock.now()
            if try state.noteResendRequest(entry.chat, entry.chatSeq, record, at: now) {
                _ = try state.enqueue(
                    "", to: try state.label(of: entry.chat) ?? entry.chat.description, writtenAt: now, target: .chat(entry.chat),
                    command: .requestResend(seq: entry.chatSeq, device: device.id, clientMessageID: entry.clientMessageID))
                reason = "asked \(name) for it again"
            } else {
                reason = "too many messages of this chat were asked for again already"
            }
        }
        entry.problem = "\(HistoryEntry.unopened): \(reason)"
        try state.setProblem(entry)
    }

    // MARK: Answering

    /// Only the device that is asked answers, once, and only who received the message when it was sent.
    /// - Parameter entry: where the request stands, and who sent it: that is what its seal shows.
    func answer(
        _ request: Relay_Client_V1_ResendRequest, from entry: HistoryEntry, _ state: ClientState, _ effects: inout Effects
    ) throws {
        guard request.senderDeviceID == account.device.rawValue, request.chatSeq > 0, request.chatSeq < entry.chatSeq,
            let asking = try state.device(entry.senderDevice), asking.active,
            try state.sentText(entry.chat, request.chatSeq, clientMessageID: request.clientMessageID) != nil,
            // Nothing was ever sealed for a device that was enrolled later.
            let message = try state.message(entry.chat, request.chatSeq), asking.id.rawValue < message.rawValue,
            try !state.blocks(asking.user), try state.wasMember(asking.user, of: entry.chat, at: request.chatSeq, me: account.user)
        else { return }
        let (key, version) = (Array(request.agreementKey), max(1, request.agreementVersion))
        guard Signing.verifyAgreement(identityKey: asking.identityKey, agreementKey: key, signature: Array(request.agreementSignature)) else {
            effects.events.append(.keysRefused(user: asking.user, name: try state.userName(asking.user), asking.id, .signature))
            return
        }
        guard version > asking.agreementVersion || version == asking.agreementVersion && key == asking.agreementKey else {
            effects.events.append(.keysRefused(user: asking.user, name: try state.userName(asking.user), asking.id, .older))
            return
        }
        let now = settings.clock.now()
        guard try state.outboxCount() < Limits.clientOutbox, try state.noteResendAnswer(entry.chat, request.chatSeq, for: asking.id, at: now)
        else { return }
        // A key that is news here serves for this answer; for everything else the relay is asked. The relay counts the keys, and a member who claims the
        // number four billion must not make everything that the relay says later look like an older key.
        if version > asking.agreementVersion { staleChats.insert(entry.chat) }
        _ = try state.enqueue(
            "", to: try state.label(of: entry.chat) ?? entry.chat.description, writtenAt: now, target: .chat(entry.chat),
            command: .resend(seq: request.chatSeq, to: asking.id, agreementKey: key, version: version))
        effects.events.append(.resending(chat: entry.chat, seq: request.chatSeq, user: asking.user, name: try state.userName(asking.user)))
    }

    // MARK: Taking the answer

    /// Puts what came again into its old place. What nobody here asked for, or asked another device for, is nothing.
    func take(_ resent: Relay_Client_V1_Resent, from entry: HistoryEntry, _ state: ClientState, _ effects: inout Effects) throws {
        guard resent.deviceID == account.device.rawValue, let asked = try state.resendRequest(entry.chat, resent.chatSeq),
            asked.device == entry.senderDevice, asked.clientMessageID == resent.clientMessageID, let device = try state.device(asked.device)
        else { return }
        let header = EnvelopeHeader(
            chat: entry.chat, senderUser: entry.senderUser, senderDevice: entry.senderDevice, clientMessageID: resent.clientMessageID)
        // It opens what was sealed for the resend, not what the relay keeps.
        var contentKey: [UInt8]?
        switch open(Array(resent.body), key: Array(resent.key), version: resent.keyVersion, header, from: device, keeping: &contentKey) {
        case .success(let content):
            guard case .text(let text) = content.kind else {
                return try state.giveUpRecovering(entry.chat, resent.chatSeq, because: "this kind of content needs a newer client")
            }
            guard try state.recover(entry.chat, resent.chatSeq, text: text.text, writtenAt: content.writtenAt),
                let found = try state.entry(entry.chat, resent.chatSeq), !found.hidden
            else { return }
            effects.events.append(.recovered(found))
        case .failure:
            try state.giveUpRecovering(entry.chat, resent.chatSeq, because: "not even when \(device.name) had sent it again")
        }
    }

    // MARK: Sealing

    /// The message that carries a request or an answer.
    func technical(_ entry: OutboxEntry, _ chat: ChatID, _ number: UInt64, _ state: ClientState) throws -> Relay_V1_Send {
        let everybody = try recipients(in: chat, state)
        var content = Relay_Client_V1_Content()
        content.writtenAtMs = entry.writtenAt.milliseconds
        switch entry.command {
        case .requestResend(let seq, let device, let clientMessageID):
            guard everybody.contains(where: { $0.id == device }) else {
                throw Unsealable(code: "device_gone", reason: "the device that sent it is gone")
            }
            let published = secrets.publicKeys
            content.resendRequest.chatSeq = seq
            content.resendRequest.senderDeviceID = device.rawValue
            content.resendRequest.clientMessageID = clientMessageID
            content.resendRequest.agreementKey = Data(published.agreementKey)
            content.resendRequest.agreementSignature = Data(published.agreementSignature)
            content.resendRequest.agreementVersion = keys.version
        case .resend(let seq, let device, let agreementKey, let version):
            guard let asking = everybody.first(where: { $0.id == device }), try !state.blocks(asking.user),
                // Deleted meanwhile, it is not there any more.
                let sent = try state.sentText(chat, seq, clientMessageID: nil)
            else { throw Unsealable(code: "device_gone", reason: "nobody is there to send it to, or nothing to send") }
            var original = Relay_Client_V1_Content()
            original.text.text = sent.text
            original.writtenAtMs = sent.writtenAt.milliseconds
            let header = EnvelopeHeader(chat: chat, senderUser: account.user, senderDevice: account.device, clientMessageID: sent.clientMessageID)
            do {
                let inner = try EnvelopeV1.seal(
                    try original.serializedBytes(), header: header, sender: secrets,
                    recipients: [(user: asking.user, device: asking.id, agreementKey: agreementKey)], entropy: settings.entropy)
                content.resent.body = Data(inner.body)
                content.resent.key = Data(inner.keys.first?.key ?? [])
            } catch let error as CryptoError {
                throw Unsealable(code: "keys_invalid", reason: error.description)
            }
            content.resent.chatSeq = seq
            content.resent.clientMessageID = sent.clientMessageID
            content.resent.deviceID = device.rawValue
            content.resent.keyVersion = version
        default: throw Unsealable(code: "internal", reason: "not a message between devices")
        }
        var send = Relay_V1_Send()
        send.chatID = chat.rawValue
        send.clientMessageID = number
        (send.body, send.keys, _) = try sealed(content, chat, number, for: everybody)
        return send
    }
}
