/// Checks the order inside one chat as the relay gives it: sequences only rise; what is skipped is a gap. A pure value.
///
/// Everything that has a place counts alike: messages, changes of a group, deletions, what is left of a deleted message. The device's own
/// messages take places too, but are not in its stream: their places count as known, whether their answer comes before the next envelope or after it.
package struct ChatOrder: Sendable, Equatable {
    package enum Verdict: Sendable, Equatable {
        case inOrder
        /// In order, but these places were skipped; each may still turn out to be an own message.
        case gap(ClosedRange<UInt64>)
        /// At or below what the stream has given already: it should not have come now.
        case late
    }

    /// The highest sequence that the relay gave; 0 before the first.
    package private(set) var highest: UInt64

    package init(highest: UInt64 = 0) { self.highest = highest }

    package mutating func received(_ seq: UInt64) -> Verdict {
        guard seq > highest else { return .late }
        defer { highest = seq }
        // What came before the first envelope was before this device's time.
        guard highest > 0, seq - highest > 1 else { return .inOrder }
        return .gap((highest + 1)...(seq - 1))
    }

    /// A gap marker: everything up to and with `seq` is gone from the relay.
    /// - Parameter joined: where the membership began, when that is known; what was before it never was this device's.
    /// - Returns: the places that will never come, if there are new ones.
    package mutating func gone(upTo seq: UInt64, joined: UInt64 = 0) -> ClosedRange<UInt64>? {
        guard seq > highest else { return nil }
        defer { highest = seq }
        let first = max(highest + 1, joined, 1)
        return first <= seq ? first...seq : nil
    }

    /// The membership begins (again) at `seq`: what was before it is no gap.
    package mutating func joined(at seq: UInt64) {
        if seq > highest + 1 { highest = seq - 1 }
    }

    /// What of a gap is left when one place turns out to be filled.
    package static func filling(_ seq: UInt64, in gap: ClosedRange<UInt64>) -> [ClosedRange<UInt64>] {
        guard gap.contains(seq) else { return [gap] }
        var left: [ClosedRange<UInt64>] = []
        if seq > gap.lowerBound { left.append(gap.lowerBound...(seq - 1)) }
        if seq < gap.upperBound { left.append((seq + 1)...gap.upperBound) }
        return left
    }
}
