/// A number that is unique on this relay and sorts by time: milliseconds since 2024-01-01 UTC (41 bits), then a counter
/// (22 bits). Message, user, device, chat and invite identifiers are stamps, and so are the versions of receipts.
///
/// The layout follows Twitter's Snowflake without the machine number: a relay has one writer.
package struct Stamp: RawRepresentable, Hashable, Comparable, Sendable, Codable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package static let counterBits: UInt64 = 22
    /// 2024-01-01T00:00:00Z.
    package static let epoch = Timestamp(milliseconds: 1_704_067_200_000)

    /// The first stamp of a millisecond. Times before the epoch count as the epoch.
    package init(time: Timestamp) {
        rawValue = UInt64(max(0, time.milliseconds - Stamp.epoch.milliseconds)) << Stamp.counterBits
    }

    package var time: Timestamp {
        Timestamp(milliseconds: Int64(rawValue >> Stamp.counterBits) + Stamp.epoch.milliseconds)
    }

    package static func < (left: Stamp, right: Stamp) -> Bool { left.rawValue < right.rawValue }

    package init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(UInt64.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// Hands out stamps in strictly rising order, also when the clock steps back. Confined to its owner.
package struct StampSource {
    private var last: UInt64

    /// - Parameter last: the highest stamp that was ever handed out; the next one is above it.
    package init(after last: Stamp) { self.last = last.rawValue }

    /// The highest stamp that was handed out.
    package var latest: Stamp { Stamp(rawValue: last) }

    /// - Parameter count: how many stamps in a row to take; the first is returned.
    package mutating func next(at now: Timestamp, count: UInt64 = 1) -> Stamp {
        let first = max(last + 1, Stamp(time: now).rawValue)
        last = first + count - 1
        return Stamp(rawValue: first)
    }
}
