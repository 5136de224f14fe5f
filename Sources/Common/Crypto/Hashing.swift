import CSodium

/// BLAKE2b (RFC 7693) as libsodium has it. Any thread.
package enum Hashing {
    /// 32 bytes.
    package static func blake2b256(_ bytes: [UInt8]) -> [UInt8] { blake2b(bytes, length: 32, key: []) }

    /// A message authentication code of 32 bytes. The key has 16 to 64 bytes.
    package static func keyed(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] {
        precondition((16...64).contains(key.count), "a BLAKE2b key has 16 to 64 bytes")
        return blake2b(bytes, length: 32, key: key)
    }

    /// Takes the same time wherever the difference is; different lengths are unequal at once.
    package static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        requireSodium()
        return left.count == right.count && sodium_memcmp(left, right, left.count) == 0
    }

    /// For people to compare: the first 16 bytes of the identity key's BLAKE2b-256 hash, in groups of four hex digits.
    package static func fingerprint(identityKey: [UInt8]) -> String { fingerprint(of: identityKey) }

    /// The same of any public key.
    package static func fingerprint(of key: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        var text = ""
        for (index, byte) in blake2b256(key).prefix(16).enumerated() {
            if index > 0, index.isMultiple(of: 2) { text.append(" ") }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return text
    }

    static func blake2b(_ bytes: [UInt8], length: Int, key: [UInt8]) -> [UInt8] {
        requireSodium()
        var hash = [UInt8](repeating: 0, count: length)
        _ = crypto_generichash(&hash, length, bytes, UInt64(bytes.count), key, key.count)
        return hash
    }
}
