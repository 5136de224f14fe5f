/// Codes that people type: Crockford's base 32, five bits a character, in groups divided by dashes. Any thread.
package enum CrockfordBase32 {
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    /// - Parameter group: characters between dashes.
    package static func encode(_ bytes: [UInt8], group: Int) -> String {
        var characters: [UInt8] = []
        var buffer: UInt32 = 0
        var count = 0
        var written = 0
        func append(_ value: UInt32) {
            if !characters.isEmpty, written.isMultiple(of: group) { characters.append(UInt8(ascii: "-")) }
            characters.append(alphabet[Int(value & 31)])
            written += 1
        }
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            count += 8
            while count >= 5 {
                count -= 5
                append(buffer >> UInt32(count))
            }
        }
        if count > 0 { append(buffer << UInt32(5 - count)) }
        return String(decoding: characters, as: UTF8.self)
    }

    /// Reads exactly `count` bytes from what people type: any case, with or without dashes and spaces, O for 0, I and L for 1. Nil for anything else.
    package static func decode(_ typed: String, count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer: UInt32 = 0
        var bits = 0
        var characters = 0
        let expected = (count * 8 + 4) / 5
        for character in typed.utf8 where character != UInt8(ascii: "-") && character != UInt8(ascii: " ") {
            guard characters < expected, let value = value(of: character) else { return nil }
            characters += 1
            buffer = buffer << 5 | UInt32(value)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bits)))
            }
        }
        // One text for each value: the bits that are left over must be zero.
        guard characters == expected, buffer & ((1 << UInt32(bits)) - 1) == 0 else { return nil }
        return bytes
    }

    private static func value(of character: UInt8) -> UInt8? {
        let upper = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(character) ? character - 32 : character
        switch upper {
        case UInt8(ascii: "O"): return 0
        case UInt8(ascii: "I"), UInt8(ascii: "L"): return 1
        default: return alphabet.firstIndex(of: upper).map(UInt8.init)
        }
    }
}
