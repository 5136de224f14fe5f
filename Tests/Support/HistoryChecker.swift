import Synchronization

/// What a run promised and what came of it. Any number of sessions report from any thread; ``violations()`` judges at the end.
///
/// The promises: what was answered with `sent` is delivered to every device that should get it; none twice; within a chat
/// the sequence only rises and each sender's messages stay in the order in which they were written; a retry gets the first answer.
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
            return found
        }
    }
}
