import RelayModel

/// What of the outbox is sealed and on its way. A pure state machine: the session feeds it answers and asks it what to send.
///
/// - Sends go out with rising client message ids, at most ``Limits/clientSendsInFlight`` at a time.
/// - A send whose answer is unknown keeps its number and bytes, whatever happens: only so the relay can recognise a retry.
/// - A chat in which one send was refused for its number or its devices is held until none of its sends is unanswered; then all its
///   unaccepted ones are numbered and sealed anew, in their old order. That keeps the order of the chat.
package struct SendWindow: Sendable {
    /// One sealed message of the outbox.
    package struct Sealed: Sendable, Equatable {
        /// The row in the outbox: the order in which the messages were written.
        package var row: Int64
        package var chat: ChatID
        package var clientMessageID: UInt64
        package init(row: Int64, chat: ChatID, clientMessageID: UInt64) {
            self.row = row
            self.chat = chat
            self.clientMessageID = clientMessageID
        }
    }

    private var ready: [Sealed] = []
    package private(set) var inFlight: [Sealed] = []
    private var refused: [ChatID: [Sealed]] = [:]
    /// After `overloaded` or `rate_limited`: nothing more goes out before all that is out is answered, so that no later send overtakes.
    private var draining = false

    package init() {}

    package var isEmpty: Bool { ready.isEmpty && inFlight.isEmpty && refused.isEmpty }
    /// Chats that wait to be sealed anew; nothing new may be sealed meanwhile.
    package var isHolding: Bool { !refused.isEmpty }
    package var isDraining: Bool { draining }
    /// How many more sealed messages fit.
    package var room: Int { isHolding ? 0 : max(0, Limits.clientSendsInFlight - inFlight.count - ready.count) }

    /// Sealed messages, in the order of their client message ids, all above those that are here.
    package mutating func add(_ sealed: [Sealed]) {
        ready += sealed
        ready.sort { $0.clientMessageID < $1.clientMessageID }
    }

    /// What to send now.
    package mutating func take() -> [Sealed] {
        guard !draining else { return [] }
        var taken: [Sealed] = []
        var kept: [Sealed] = []
        for sealed in ready {
            if refused[sealed.chat] != nil {
                refused[sealed.chat, default: []].append(sealed)
            } else if inFlight.count + taken.count < Limits.clientSendsInFlight {
                taken.append(sealed)
            } else {
                kept.append(sealed)
            }
        }
        ready = kept
        inFlight += taken
        return taken
    }

    /// The relay has it, or will never have it (a dead letter). Nil when nothing of that number is on its way.
    package mutating func answered(_ clientMessageID: UInt64) -> Sealed? {
        guard let index = inFlight.firstIndex(where: { $0.clientMessageID == clientMessageID }) else { return nil }
        return inFlight.remove(at: index)
    }

    /// Its number or its devices were wrong: hold its chat.
    package mutating func mustReseal(_ clientMessageID: UInt64) -> ChatID? {
        guard let sealed = answered(clientMessageID) else { return nil }
        refused[sealed.chat, default: []].append(sealed)
        return sealed.chat
    }

    /// The relay was too busy, or the device too fast: the same again, later.
    package mutating func mustWait(_ clientMessageID: UInt64) {
        guard let index = inFlight.firstIndex(where: { $0.clientMessageID == clientMessageID }) else { return }
        let sealed = inFlight.remove(at: index)
        draining = true
        add([sealed])
    }

    /// The pause is over. False while answers are still to come.
    package mutating func resume() -> Bool {
        guard inFlight.isEmpty else { return false }
        draining = false
        return true
    }

    /// The connection is gone: what was on its way goes out again, as it is.
    package mutating func disconnected() {
        add(inFlight)
        inFlight = []
        draining = false
        // What was refused is sent as it was once more, and refused again if need be: that costs one round trip and no memory of its own.
        for chat in refused.keys.sorted() { add(refused[chat] ?? []) }
        refused = [:]
    }

    /// The chats whose held messages can be numbered and sealed anew now.
    package func resealable() -> [ChatID] {
        refused.keys.filter { chat in !inFlight.contains { $0.chat == chat } }.sorted()
    }

    /// A chat's messages that would be sealed anew, in the order in which they were written.
    package func held(_ chat: ChatID) -> [Sealed] { ((refused[chat] ?? []) + ready.filter { $0.chat == chat }).sorted { $0.row < $1.row } }

    /// Takes a chat's held messages out, in the order in which they were written.
    package mutating func takeForResealing(_ chat: ChatID) -> [Sealed] {
        var held = refused.removeValue(forKey: chat) ?? []
        held += ready.filter { $0.chat == chat }
        ready.removeAll { $0.chat == chat }
        return held.sorted { $0.row < $1.row }
    }

    /// Forgets a chat's messages that wait (they became dead letters).
    package mutating func drop(_ rows: Set<Int64>) {
        ready.removeAll { rows.contains($0.row) }
        for (chat, held) in refused {
            let left = held.filter { !rows.contains($0.row) }
            refused[chat] = left.isEmpty ? nil : left
        }
    }
}
