import RelayModel
import RelayWire
import SwiftProtobuf

/// What the old device gives, in parts that each fit one request: people, chats, then keys. A position in the state, which may change meanwhile.
struct LinkArchive {
    private enum Stage { case people, chats, keys, done }

    let history: Bool
    private var stage = Stage.people
    private var begun = false
    /// Behind whom, behind which chat and place the next part begins.
    private var after: (UInt64, UInt64) = (0, 0)
    private(set) var summary = Relay_Client_V1_LinkSummary()

    init(history: Bool) { self.history = history }

    /// There is no other part.
    var isDone: Bool { stage == .done }

    /// The next part; empty when there is nothing (more) to give, and then it is the last one.
    mutating func next(_ state: ClientState) throws -> Relay_Client_V1_LinkPart {
        var part = Relay_Client_V1_LinkPart()
        if !begun {
            begun = true
            summary = try state.linkSummary(history: history)
            part.summary = summary
        }
        var bytes = 0
        while stage == .people, bytes < Limits.clientLinkPartBytes {
            guard let person = try state.linkedPeople(after: after.0, limit: 1).first else {
                go(to: .chats)
                break
            }
            part.people.append(person)
            after.0 = person.userID
            bytes += (try person.serializedBytes() as [UInt8]).count
        }
        while stage == .chats, bytes < Limits.clientLinkPartBytes {
            guard let chat = try state.linkedChats(after: after.0, limit: 1, history: history).first else {
                go(to: history ? .keys : .done)
                break
            }
            part.chats.append(chat)
            after.0 = chat.chatID
            bytes += (try chat.serializedBytes() as [UInt8]).count
        }
        if stage == .keys, bytes == 0 {
            part.keys = try state.linkedKeys(after: after.0, after.1, limit: Limits.clientLinkPartKeys)
            if let last = part.keys.last, let seq = last.chatSeqs.last { after = (last.chatID, seq) } else { go(to: .done) }
        }
        return part
    }

    private mutating func go(to next: Stage) {
        stage = next
        after = (0, 0)
    }
}

/// What was given, as both devices say it.
package struct LinkGift: Sendable, Equatable {
    package var people: Int
    package var chats: Int
    /// Messages that the new device can fetch and open; 0 without the history.
    package var messages: Int
    package var history: Bool

    init(_ summary: Relay_Client_V1_LinkSummary) {
        people = Int(summary.people)
        chats = Int(summary.chats)
        messages = Int(summary.keys)
        history = summary.history
    }
}
