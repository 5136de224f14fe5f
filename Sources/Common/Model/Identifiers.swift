/// An identifier that the relay hands out: positive, 63 bits, sortable by the time it was made (see ``Stamp``).
///
/// In JSON it is a decimal string, because many readers round integers above 2^53.
package protocol RelayIdentifier: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible, LosslessStringConvertible
where RawValue == UInt64 {
    init(rawValue: UInt64)
}

extension RelayIdentifier {
    package init(_ rawValue: UInt64) { self.init(rawValue: rawValue) }

    /// Decimal digits only; nil for anything else, for 0, and for numbers above 2^63 − 1.
    package init?(_ description: String) {
        guard let value = UInt64(description), value > 0, value <= UInt64(Int64.max) else { return nil }
        self.init(rawValue: value)
    }

    package var description: String { String(rawValue) }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Self(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "“\(text)” is not an identifier (a positive decimal number)")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A person with an account on this relay.
package struct UserID: RelayIdentifier {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// One enrolled device of a user.
package struct DeviceID: RelayIdentifier {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A chat: of two users, of a group, or of one user's own devices.
package struct ChatID: RelayIdentifier {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// One stored message.
package struct MessageID: RelayIdentifier {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// When the relay accepted the message.
    package var time: Timestamp { Stamp(rawValue: rawValue).time }
}

/// An invite that an operator handed out. Not the secret code.
package struct InviteID: RelayIdentifier {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}
