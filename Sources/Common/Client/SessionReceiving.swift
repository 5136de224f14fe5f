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
            let (chat, sender) = (ChatID(envelope.chatID), DeviceID(envelope.senderDeviceID))
            let device = try state.device(sender)
            let lookup = Lookup(chat: chat, user: UserID(envelope.senderUserID), device: sender)
            if !lookedUp.contains(lookup), try device == nil || !state.knowsChat(chat) {
                effects.lookup = lookup
                break
            }
            try store(envelope, from: device, state, &effects)
            cursor = envelope.mailboxSeq
            effects.acknowledge = cursor
            done += 1
        }
        waitingEnvelopes.removeFirst(done)
        if waitingEnvelopes.isEmpty, let seq = caughtUpAt {
            caughtUpAt = nil
            try state.setCursor(seq)
            effects.caughtUp = true
        }
    }

    private func store(_ envelope: Relay_V1_Envelope, from device: KnownDevice?, _ state: ClientState, _ effects: inout Effects) throws {
        let place = SentPlace(
            chat: ChatID(envelope.chatID), clientMessageID: envelope.clientMessageID, message: MessageID(envelope.messageID),
            chatSeq: envelope.chatSeq,
            sentAt: Timestamp(milliseconds: envelope.sentAtMs))
        let own = envelope.senderDeviceID == account.device.rawValue
        if own, let sealed = window.answered(envelope.clientMessageID) {
            // The relay has it, whatever became of its answer.
            try state.storeSent(sealed.row, place, by: account)
            effects.events.append(.sent(id: sealed.row, place))
        }
        var entry = HistoryEntry(
            chat: place.chat, chatSeq: place.chatSeq, message: place.message, senderUser: UserID(envelope.senderUserID),
            senderDevice: DeviceID(envelope.senderDeviceID), clientMessageID: envelope.clientMessageID, sentAt: place.sentAt)
        switch open(envelope, from: device) {
        case .success(let content):
            entry.text = content.text.text
            entry.writtenAt = Timestamp(milliseconds: content.writtenAtMs)
        case .failure(let problem):
            entry.problem = problem.text
        }
        guard try state.storeReceived(entry, mailboxSeq: envelope.mailboxSeq) == .new, !own else { return }
        entry = try state.withNames(entry, account)
        effects.events.append(entry.problem == nil ? .received(entry) : .unreadable(entry))
        if settings.readsEverything, entry.problem == nil, entry.senderUser != account.user {
            try state.storeRead(entry.chat, entry.chatSeq)
            effects.reads[entry.chat] = max(effects.reads[entry.chat] ?? 0, entry.chatSeq)
        }
    }

    private struct Problem: Error {
        var text: String
    }

    private func open(_ envelope: Relay_V1_Envelope, from device: KnownDevice?) -> Result<Relay_Client_V1_Content, Problem> {
        guard !envelope.key.isEmpty else { return .failure(Problem(text: HistoryEntry.beforeEnrolment)) }
        guard let device else { return .failure(Problem(text: "the relay does not know the sender's device any more")) }
        guard device.user.rawValue == envelope.senderUserID else { return .failure(Problem(text: "the sender's device belongs to another user")) }
        let header = EnvelopeHeader(
            chat: ChatID(envelope.chatID), senderUser: UserID(envelope.senderUserID), senderDevice: DeviceID(envelope.senderDeviceID),
            clientMessageID: envelope.clientMessageID)
        let bytes: [UInt8]
        do {
            bytes = try EnvelopeV1.open(
                body: Array(envelope.body), wrappedKey: Array(envelope.key), header: header, device: secrets, senderIdentityKey: device.identityKey)
        } catch {
            return .failure(Problem(text: error.description))
        }
        guard let content = try? Relay_Client_V1_Content(serializedBytes: bytes) else { return .failure(Problem(text: "the content is malformed")) }
        guard case .text = content.kind else { return .failure(Problem(text: "this kind of content needs a newer client")) }
        return .success(content)
    }
}
