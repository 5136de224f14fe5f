@_spi(_Unicode) import Swift

/// A user's unique name: NFC, case-folded, 1 to 64 characters; letters, marks and digits of any script, and `. _ -` inside.
package struct UserName: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package let text: String

    /// Why a text cannot be a name.
    package enum Invalid: Error, Equatable, CustomStringConvertible {
        case empty
        case tooLong(characters: Int)
        case character(Character)
        case edge(Character)

        package var description: String {
            switch self {
            case .empty: "a user name needs at least one character"
            case .tooLong(let characters): "a user name has at most \(Limits.userNameCharacters) characters, this one has \(characters)"
            case .character(let character): "a user name cannot contain “\(character)”: use letters, digits, “.”, “_” and “-”"
            case .edge(let character): "a user name cannot begin or end with “\(character)”"
            }
        }
    }

    /// Normalises and checks a name as a person typed it.
    package init(_ typed: String) throws(Invalid) {
        // Upper-casing first folds what lower-casing alone keeps apart (ß and ss, final sigma).
        let folded = typed.uppercased().lowercased()
        var normalised = String()
        for scalar in folded._nfc { normalised.unicodeScalars.append(scalar) }
        guard let first = normalised.first, let last = normalised.last else { throw .empty }
        guard normalised.count <= Limits.userNameCharacters else { throw .tooLong(characters: normalised.count) }
        for character in normalised {
            for scalar in character.unicodeScalars where !UserName.allows(scalar) { throw .character(character) }
        }
        for edge in [first, last] where edge == "." || edge == "-" { throw .edge(edge) }
        text = normalised
    }

    /// A name that was checked before (read back from the store).
    package init(checked text: String) { self.text = text }

    private static func allows(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == "." || scalar == "_" || scalar == "-" { return true }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark, .decimalNumber:
            return true
        default:
            return false
        }
    }

    package var description: String { text }

    package static func < (left: UserName, right: UserName) -> Bool { left.text < right.text }

    package init(from decoder: any Decoder) throws {
        text = try UserName(decoder.singleValueContainer().decode(String.self)).text
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
