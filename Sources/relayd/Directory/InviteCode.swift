import RelayCrypto
import RelayModel

/// The secret of an invite: 16 random bytes, shown as 26 characters of Crockford's base 32 in groups of five.
/// Only its BLAKE2b-256 is stored; 128 random bits need no slow hash.
struct InviteCode {
    let bytes: [UInt8]

    init(entropy: any Entropy) { bytes = entropy.bytes(16) }

    /// Reads what people type: any case, with or without dashes and spaces, O for 0, I and L for 1.
    init?(_ typed: String) {
        var bits: [UInt8] = []
        var buffer: UInt32 = 0
        var count = 0
        var characters = 0
        for character in typed.utf8 where character != UInt8(ascii: "-") && character != UInt8(ascii: " ") {
            guard let value = InviteCode.value(of: character) else { return nil }
            characters += 1
            guard characters <= 26 else { return nil }
            buffer = buffer << 5 | UInt32(value)
            count += 5
            if count >= 8 {
                count -= 8
                bits.append(UInt8(truncatingIfNeeded: buffer >> UInt32(count)))
            }
        }
        guard characters == 26, buffer & ((1 << UInt32(count)) - 1) == 0 else { return nil }
        bytes = bits
    }

    var text: String {
        var characters: [UInt8] = []
        var buffer: UInt32 = 0
        var count = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            count += 8
            while count >= 5 {
                count -= 5
                characters.append(InviteCode.alphabet[Int(buffer >> UInt32(count) & 31)])
            }
        }
        if count > 0 { characters.append(InviteCode.alphabet[Int(buffer << UInt32(5 - count) & 31)]) }
        let text = String(decoding: characters, as: UTF8.self)
        return stride(from: 0, to: text.count, by: 5).map { String(text.dropFirst($0).prefix(5)) }.joined(separator: "-")
    }

    var hash: [UInt8] { Hashing.blake2b256(bytes) }

    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    private static func value(of character: UInt8) -> UInt8? {
        let upper = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(character) ? character - 32 : character
        switch upper {
        case UInt8(ascii: "O"): return 0
        case UInt8(ascii: "I"), UInt8(ascii: "L"): return 1
        default: return alphabet.firstIndex(of: upper).map(UInt8.init)
        }
    }
}
