/// Checks UTF-8 (RFC 3629) that arrives in pieces: no overlong forms, no surrogates, nothing above U+10FFFF.
struct UTF8Validator {
    /// Continuation bytes that the current character still needs, and the range of the next one.
    private var needed = 0
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xBF

    /// The text does not end within a character.
    var isComplete: Bool { needed == 0 }

    /// False as soon as the bytes so far cannot be the beginning of valid text.
    mutating func accept(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        let end = bytes.count
        while index < end {
            if needed == 0 {
                while index + 8 <= end, bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 { index += 8 }
                guard index < end else { return true }
                let byte = bytes[index]
                index += 1
                switch byte {
                case 0x00...0x7F: continue
                case 0xC2...0xDF: needed = 1
                case 0xE0: (needed, low) = (2, 0xA0)
                case 0xED: (needed, high) = (2, 0x9F)
                case 0xE1...0xEF: needed = 2
                case 0xF0: (needed, low) = (3, 0x90)
                case 0xF1...0xF3: needed = 3
                case 0xF4: (needed, high) = (3, 0x8F)
                default: return false
                }
            } else {
                guard bytes[index] >= low, bytes[index] <= high else { return false }
                (low, high) = (0x80, 0xBF)
                needed -= 1
                index += 1
            }
        }
        return true
    }
}
