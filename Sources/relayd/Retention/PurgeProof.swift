import RelayCrypto
import RelayModel
import RelayStorage

/// What one purge says of itself, for ever.
package struct PurgeEntry: Sendable, Equatable {
    package var at: Timestamp
    /// The longest that any policy let a message stay, in days; nil: for ever. What `verify` holds the store against.
    package var longestDays: Int?
    /// A fingerprint of all policies that were in force.
    package var policies: [UInt8]
    /// Messages that went, as the power of two that they are at least; below 16 always 0: an exact figure would say when people write.
    package var messagesAtLeast: Int
    /// Of the oldest message that stayed, in whole days; nil: there is none.
    package var oldestDays: Int?

    /// One line: fields in this order, each with its name.
    var text: String {
        "purge 1 at=\(at) longest-days=\(longestDays.map(String.init) ?? "-") policies=\(HexText.of(policies)) messages-at-least=\(messagesAtLeast) "
            + "oldest-days=\(oldestDays.map(String.init) ?? "-")"
    }

    /// Nil when the text is none that ``text`` wrote.
    package init?(_ text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 7, parts[0] == "purge", parts[1] == "1" else { return nil }
        func field(_ index: Int, _ name: String) -> String? {
            parts[index].hasPrefix(name + "=") ? String(parts[index].dropFirst(name.count + 1)) : nil
        }
        guard let at = field(2, "at").flatMap({ Timestamp($0) }), let longest = field(3, "longest-days"), let policies = field(4, "policies"),
            let messages = field(5, "messages-at-least").flatMap({ Int($0) }), let oldest = field(6, "oldest-days"),
            longest == "-" || Int(longest) != nil, oldest == "-" || Int(oldest) != nil, let policies = HexText.bytes(policies)
        else { return nil }
        self.init(at: at, longestDays: Int(longest), policies: policies, messagesAtLeast: messages, oldestDays: Int(oldest))
    }

    package init(at: Timestamp, longestDays: Int?, policies: [UInt8], messagesAtLeast: Int, oldestDays: Int?) {
        self.at = at
        self.longestDays = longestDays
        self.policies = policies
        self.messagesAtLeast = messagesAtLeast
        self.oldestDays = oldestDays
    }

    static func atLeast(_ count: Int) -> Int { count < 16 ? 0 : 1 << (Int.bitWidth - 1 - count.leadingZeroBitCount) }
}

/// The chain of purges, see ``HashChain``. Pure.
enum PurgeProof {
    /// The first entry follows this.
    static let beginning = HashChain.beginning

    static func record(_ entry: PurgeEntry, after previous: [UInt8]) -> PurgeRecord {
        PurgeRecord(entry: entry.text, hash: hash(entry.text, after: previous))
    }

    static func hash(_ entry: String, after previous: [UInt8]) -> [UInt8] {
        HashChain.purges.hash(entry, after: previous)
    }

    static func fingerprint(_ policies: [String: RetentionPolicy]) -> [UInt8] {
        let lines = policies.sorted { $0.key < $1.key }.map { name, policy in
            "\(name) \(policy.deliveredDays ?? 0) \(policy.undeliveredDays ?? 0) \(policy.userBytes ?? 0) \(policy.onceDelivered)\n"
        }
        return Array(Hashing.blake2b256(Array(lines.joined().utf8)).prefix(16))
    }
}
