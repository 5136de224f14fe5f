import NIOCore
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf

/// What comes from the stream, and the burst that handles it.
extension Session {
    // MARK: From the stream

    fileprivate func received(_ message: WebSocketMessage) {
        lastHeard = .now()
        guard case .binary(let bytes) = message, let frame = try? Relay_V1_ServerFrame(serializedBytes: Array(bytes.readableBytesView)) else {
            channel?.close(code: 1007)
            return
        }
        frames.append(frame)
    }

    fileprivate func readComplete() {
        lastHeard = .now()
        if established, !frames.isEmpty { burst() }
    }

    fileprivate func closed(_ code: UInt16?, _ reason: String) {
        // What came before the end counts.
        if established, !frames.isEmpty { burst() }
        let end = StreamEnd(code: code, reason: reason)
        ended = end
        established = false
        ending?.resume(returning: end)
        ending = nil
    }

    // MARK: The burst

    /// What one transaction did, told and sent once it is on disk.
    struct Effects {
        var events: [SessionEvent] = []
        var acknowledge: UInt64?
        var reads: [ChatID: UInt64] = [:]
        var pauseSending: Duration?
        /// A read was refused for now.
        var readAgain: Duration?
        var caughtUp = false
        /// All pushed changes of contacts are stored.
        var contactsSeen = false
        /// Something was pushed that only the list explains.
        var syncContacts = false
        var lookup: Lookup?
        /// A page of a chat to fetch: what is behind this sequence, once the relay has at the known place what is here.
        var page: (chat: ChatID, after: UInt64, known: ClientState.KnownPlace?)?
        var prepare: Preparation?
    }

    /// What must be asked of the relay before sealing can go on.
    enum Preparation {
        case openChat(recipient: String)
        case refetch([ChatID])
        /// Who these names are, for the entry of this number.
        case users([String], row: Int64)
    }

    /// Handles all that is at hand: frames, waiting envelopes, the outbox.
    func burst() {
        guard established, failure == nil, let state else { return }
        let frames = frames
        self.frames = []
        var effects = Effects()
        do throws(ClientError) {
            try state.transaction {
                for frame in frames { try apply(frame, state, &effects) }
                // Who is blocked must be known first.
                if contactsSynced {
                    // Envelopes may wait for what is fetched.
                    try storeFetched(state, &effects)
                    try storeWaiting(state, &effects)
                }
                // What was decided about contacts goes out before what is written to them.
                if contactsSynced, try state.nextDecision() == nil { try seal(state, &effects) }
            }
        } catch {
            return fail(error)
        }
        if effects.caughtUp {
            caughtUpFlag = true
            effects.events.append(.caughtUp)
            fetchReceipts()
            forgetFormerSecrets()
        }
        if keyIsOutdated { checkKeys() }
        for event in effects.events { events(event) }
        if let seq = effects.acknowledge {
            var frame = Relay_V1_ClientFrame()
            frame.ack.mailboxSeq = seq
            write(frame)
        }
        for (chat, seq) in effects.reads { sendRead(chat, seq) }
        if effects.contactsSeen { do throws(ClientError) { try tellContactsSeen() } catch { return fail(error) } }
        // Not before the stream has said something: from then on every change is pushed, so that the list and what is pushed leave no gap.
        if effects.syncContacts || !frames.isEmpty && !contactsSynced && !syncingContacts { syncContacts() }
        if let lookup = effects.lookup {
            look(lookup)
        } else if !lookingUp, let chat = refreshes.popFirst() {
            look(.chat(chat, at: .max))
        }
        if let page = effects.page { fetchPage(of: page.chat, after: page.after, known: page.known) }
        if let preparation = effects.prepare { prepare(preparation) }
        if let pause = effects.pauseSending { resumeSending(after: pause) }
        if let pause = effects.readAgain { sendReadsAgain(after: pause) }
        do throws(ClientError) { try pump(state) } catch { return fail(error) }
        channel?.flush()
        checkWaiters()
    }

    func write(_ frame: Relay_V1_ClientFrame) {
        guard let channel, let bytes: [UInt8] = try? frame.serializedBytes() else { return }
        channel.send(.binary(ByteBuffer(bytes: bytes)))
    }

    /// With a request id, because without one nobody says that it was refused.
    func sendRead(_ chat: ChatID, _ seq: UInt64) {
        var frame = Relay_V1_ClientFrame()
        frame.requestID = nextRequest
        nextRequest += 1
        frame.read.chatID = chat.rawValue
        frame.read.chatSeq = seq
        write(frame)
    }

    /// All that the relay did not confirm. The caller flushes.
    func sendUnconfirmedReads() {
        do throws(ClientError) {
            let state = try working()
            for read in try state.transaction({ try state.unconfirmedReads(of: account.user) }) { sendRead(read.chat, read.seq) }
        } catch { fail(error) }
    }

    private func sendReadsAgain(after pause: Duration) {
        guard readsAfter == nil else { return }
        readsAfter = loop.scheduleTask(in: TimeAmount(pause)) { [weak self] in
            self?.assumeIsolated { session in
                session.readsAfter = nil
                guard session.established else { return }
                session.sendUnconfirmedReads()
                session.channel?.flush()
            }
        }
    }

    func apply(_ frame: Relay_V1_ServerFrame, _ state: ClientState, _ effects: inout Effects) throws {
        switch frame.kind {
        case .sent(let sent): try apply(sent, request: frame.requestID, state, &effects)
        case .error(let error): try apply(error, request: frame.requestID, state, &effects)
        case .deliver(let deliver):
            waitingEnvelopes += deliver.envelopes
            guard waitingEnvelopes.count <= Limits.clientEnvelopesWaiting else {
                throw ClientError.protocolViolation("the relay pushes more envelopes than may be unacknowledged")
            }
        case .receipts(let receipts):
            for receipt in receipts.receipts {
                let (chat, user) = (ChatID(receipt.chatID), UserID(receipt.userID))
                try state.storeReceipt(chat: chat, user: user, delivered: receipt.deliveredSeq, read: receipt.readSeq, version: receipt.version)
                effects.events.append(.receipt(chat: chat, user: user, try state.watermarks(in: chat, of: user)))
            }
        case .caughtUp(let caughtUp): caughtUpAt = caughtUp.mailboxSeq
        case .announcement(let announcement):
            let chat = ChatID(announcement.chatID)
            guard announcement.chatID > 0 else { break }
            // What is not above the places here is nothing new, or the relay was set back: the first answer of a connection says which. Until it is
            // stored, nobody knows what is above.
            guard try state.highest(chat) < announcement.chatSeq || behind[chat] != nil || !compared.contains(chat) else { break }
            try state.announce(chat, announcement.chatSeq)
            behind[chat] = max(behind[chat] ?? 0, announcement.chatSeq)
        case .contacts(let contacts): try apply(contacts, state, &effects)
        case .keyChange(let change): try apply(change, state, &effects)
        case .presenceTerms(let terms): apply(terms)
        case .presence(let update): try apply(update, state, &effects)
        case .pong, nil: break
        }
    }
}

/// Hands what the socket gives to the session, on the loop that both run on.
final class StreamDelegate: WebSocketDelegate {
    let session: Session

    init(_ session: Session) { self.session = session }

    func received(_ message: WebSocketMessage) { session.assumeIsolated { $0.received(message) } }
    func readComplete() { session.assumeIsolated { $0.readComplete() } }
    func closed(code: UInt16?, reason: String) { session.assumeIsolated { $0.closed(code, reason) } }
}
