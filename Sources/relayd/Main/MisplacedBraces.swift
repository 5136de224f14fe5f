/// A `}` where an array expects a value, as in `a = [}`: toml++ 3.3 asserts that its callers never get there, and aborts.
/// No option is an array, so the text is wrong in any case.
enum MisplacedBraces {
    private enum Place: Equatable {
        case plain, comment
        case string(quote: UInt8, multiline: Bool)
    }

    /// The number of the first line with one, from 1.
    static func firstLine(in text: String) -> Int? {
        let bytes = Array(text.utf8)
        var place = Place.plain
        var line = 1
        var expectsValue = false
        var index = 0
        func isTripled(_ byte: UInt8) -> Bool { index + 2 < bytes.count && bytes[index + 1] == byte && bytes[index + 2] == byte }
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\n") { line += 1 }
            switch place {
            case .comment:
                if byte == UInt8(ascii: "\n") { place = .plain }
            case .string(let quote, let multiline):
                if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                    index += 1
                } else if byte == quote, !multiline || isTripled(byte) {
                    index += multiline ? 2 : 0
                    place = .plain
                } else if byte == UInt8(ascii: "\n"), !multiline {
                    place = .plain
                }
            case .plain:
                switch byte {
                case UInt8(ascii: "#"): place = .comment
                case UInt8(ascii: "\""), UInt8(ascii: "'"):
                    let multiline = isTripled(byte)
                    index += multiline ? 2 : 0
                    place = .string(quote: byte, multiline: multiline)
                    expectsValue = false
                case UInt8(ascii: "["), UInt8(ascii: ","): expectsValue = true
                case UInt8(ascii: "}"):
                    if expectsValue { return line }
                case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): break
                default: expectsValue = false
                }
            }
            index += 1
        }
        return nil
    }
}
