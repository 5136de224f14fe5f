import Synchronization

/// What a run promised and what came of it. Any number of sessions report from any thread; ``violations()`` judges at the end.
///
/// The promises: what was answered with `sent` is delivered to every device that should get it; none twice; within a chat
/// the sequence only rises and each sender's messages stay in the order in which they were written; a retry gets the first answer;
/// a place in a chat holds the same message for everybody. In a group, a member's devices get exactly what lies between the member's
/// joining and leaving, both included, except what they sent themselves; and its places are counted without a hole.
package final class HistoryChecker: Sendable {
    /// One message as its sender named it.
    package struct Key: Hashable, Sendable, CustomStringConvertible {
        package var sender: String
        package var clientMessageID: UInt64
        package init(sender: String, clientMessageID: UInt64) {
            self.sender = sender
            self.clientMessageID = clientMessageID
        }
        package var description: String { "\(sender) #\(clientMessageID)" }
    }

    /// The place that the relay gave a message.
    package struct Place: Hashable, Sendable, CustomStringConvertible {
        package var chat: UInt64
        package var chatSeq: UInt64
        package var messageID: UInt64
        package init(chat: UInt64, chatSeq: UInt64, messageID: UInt64) {
            self.chat = chat
            self.chatSeq = chatSeq
            self.messageID = messageID
        }
        package var description: String { "chat \(chat) place \(chatSeq) (message \(messageID))" }
    }

    private struct Delivery { var key: Key; var place: Place; var text: String }
    private struct State {
        var texts: [Key: String] = [:]
        var expected: [Key: Set<String>] = [:]
        var answers: [Key: Place] = [:]
        var deliveries: [String: [Delivery]] = [:]
        var violations: [String] = []
        var groups: [UInt64: Group] = [:]
        /// Devices by user.
        var devices: [String: Set<String>] = [:]
        /// The devices that sent messages to groups.
        var groupSenders: [Key: String] = [:]
    }

    /// Who was in a group when: spans of places, one for each time that a user was a member.
    private struct Group {
        var spans: [String: [Span]] = [:]
        struct Span { var joined: UInt64; var left: UInt64? }

        func isMember(_ user: String, at place: UInt64) -> Bool {
            (spans[user] ?? []).contains { $0.joined <= place && place <= $0.left ?? .max }
        }
    }
    private let state = Mutex(State())

    package init() {}

    /// A sender hands a message over; `devices` are those that must get it.
    package func wrote(_ key: Key, text: String, for devices: Set<String>) {
        state.withLock {
            $0.texts[key] = text
            $0.expected[key] = devices
        }
    }

    /// A device of a user who may become a member of groups. All of a user's devices exist before the user joins the first one.
    package func owns(_ user: String, device: String) {
        state.withLock { _ = $0.devices[user, default: []].insert(device) }
    }

    /// `device` hands over a message, or a change, to a group: those who are members at its place must get it.
    package func wroteToGroup(_ key: Key, text: String, from device: String) {
        state.withLock {
            $0.texts[key] = text
            $0.groupSenders[key] = device
        }
    }

    /// `user` is a member from the change at `place` on.
    package func joined(_ user: String, group: UInt64, at place: UInt64) {
        state.withLock { $0.groups[group, default: Group()].spans[user, default: []].append(Group.Span(joined: place, left: nil)) }
    }

    /// The change at `place` is the last thing that `user` gets of the group.
    package func left(_ user: String, group: UInt64, at place: UInt64) {
        state.withLock { state in
            guard let last = state.groups[group]?.spans[user]?.indices.last, state.groups[group]?.spans[user]?[last].left == nil else {
                return state.violations.append("\(user) left group \(group) at place \(place) without being a member")
            }
            state.groups[group]?.spans[user]?[last].left = place
        }
    }

    /// The relay answered `sent`. Every answer for the same message counts, also those to retries.
    package func answered(_ key: Key, _ place: Place) {
        state.withLock {
            if let first = $0.answers[key], first != place {
                $0.violations.append("\(key): the first answer was \(first), a later one \(place)")
            } else {
                $0.answers[key] = place
            }
        }
    }

    /// A device showed a message to its user (after its own de-duplication).
    package func delivered(to device: String, _ key: Key, _ place: Place, text: String) {
        state.withLock { $0.deliveries[device, default: []].append(Delivery(key: key, place: place, text: text)) }
    }

    /// What `device` has shown so far.
    package func count(deliveredTo device: String) -> Int { state.withLock { $0.deliveries[device]?.count ?? 0 } }
    package var answeredCount: Int { state.withLock { $0.answers.count } }

    /// Every broken promise, as a sentence; empty when all were kept.
    package func violations() -> [String] {
        state.withLock { state in
            var found = state.violations
            let shown = state.deliveries.mapValues { Set($0.map(\.key)) }
            for (device, deliveries) in state.deliveries {
                var seen = Set<Key>()
                var lastInChat: [UInt64: UInt64] = [:]
                var lastOfSender: [String: UInt64] = [:]
                for delivery in deliveries {
                    let key = delivery.key
                    if !seen.insert(key).inserted {
                        found.append("\(device) was shown \(key) twice")
                        continue
                    }
                    if let last = lastInChat[delivery.place.chat], delivery.place.chatSeq <= last {
                        found.append("\(device) was shown \(key) at \(delivery.place) behind place \(last)")
                    }
                    lastInChat[delivery.place.chat] = delivery.place.chatSeq
                    if let last = lastOfSender[key.sender], key.clientMessageID <= last {
                        found.append("\(device) was shown \(key) behind #\(last) of the same sender")
                    }
                    lastOfSender[key.sender] = key.clientMessageID
                    if let text = state.texts[key], text != delivery.text { found.append("\(device) was shown another text for \(key)") }
                    if state.texts[key] == nil { found.append("\(device) was shown \(key), which nobody wrote") }
                    if let answer = state.answers[key], answer != delivery.place {
                        found.append("\(device) was shown \(key) at \(delivery.place), the sender was told \(answer)")
                    }
                }
            }
            for (key, _) in state.answers {
                for device in state.expected[key] ?? [] where shown[device]?.contains(key) != true {
                    found.append("\(device) never got \(key), which was answered with sent")
                }
            }
            let places = HistoryChecker.places(state, &found)
            HistoryChecker.checkGroups(state, places, shown, &found)
            return found
        }
    }

    /// What lies at each place of each chat, by the answers and by what the devices were shown.
    private static func places(_ state: State, _ found: inout [String]) -> [UInt64: [UInt64: Key]] {
        var places: [UInt64: [UInt64: Key]] = [:]
        func note(_ key: Key, _ place: Place) {
            if let other = places[place.chat]?[place.chatSeq], other != key {
                found.append("\(place) is that of \(other) and that of \(key)")
            } else {
                places[place.chat, default: [:]][place.chatSeq] = key
            }
        }
        for (key, place) in state.answers.sorted(by: { $0.value.messageID < $1.value.messageID }) { note(key, place) }
        for (_, deliveries) in state.deliveries.sorted(by: { $0.key < $1.key }) {
            for delivery in deliveries { note(delivery.key, delivery.place) }
        }
        return places
    }

    /// Everything that has a place in a group, answered or not, for exactly its members at that place.
    private static func checkGroups(_ state: State, _ places: [UInt64: [UInt64: Key]], _ shown: [String: Set<Key>], _ found: inout [String]) {
        for (chat, group) in state.groups {
            let taken = places[chat] ?? [:]
            for hole in Set(1...max(1, taken.keys.max() ?? 1)).subtracting(taken.keys).sorted() {
                found.append("nothing is known of place \(hole) of group \(chat), which has later ones")
            }
            for (user, devices) in state.devices {
                for device in devices {
                    for (place, key) in taken.sorted(by: { $0.key < $1.key }) {
                        let has = shown[device]?.contains(key) == true
                        let should = group.isMember(user, at: place) && state.groupSenders[key] != device
                        if has, !group.isMember(user, at: place) {
                            found.append("\(device) was shown \(key) at place \(place) of group \(chat), where \(user) was no member")
                        } else if should, !has {
                            found.append("\(device) never got \(key) at place \(place) of group \(chat), where \(user) was a member")
                        }
                    }
                }
            }
        }
    }
}
