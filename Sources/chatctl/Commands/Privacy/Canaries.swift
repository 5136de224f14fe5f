import FoundationEssentials
import RelayModel

/// Texts that must not be found, each in all forms in which a program might write it.
struct Canaries {
    private struct Pattern {
        /// Capital ASCII letters made small.
        var bytes: [UInt8]
        var canary: Int
    }

    /// Shorter ones would be found in everything.
    static let fewest = 4

    private var patterns: [Pattern] = []
    /// Patterns by their first two bytes.
    private var byStart: [Int: [Int]] = [:]
    private var starts = [Bool](repeating: false, count: 1 << 16)
    /// The longest pattern, which two pieces of a file must share.
    private(set) var longest = 1
    private(set) var count = 0

    /// Numbers of the canaries begin with 1, in the order in which they were given.
    init(_ texts: [String]) {
        count = texts.count
        for (index, text) in texts.enumerated() {
            for form in Self.forms(of: text) { add(form, canary: index + 1) }
        }
    }

    private mutating func add(_ bytes: [UInt8], canary: Int) {
        let small = bytes.map(Self.small)
        guard small.count >= Self.fewest, !patterns.contains(where: { $0.bytes == small }) else { return }
        let start = Int(small[0]) << 8 | Int(small[1])
        starts[start] = true
        byStart[start, default: []].append(patterns.count)
        patterns.append(Pattern(bytes: small, canary: canary))
        longest = max(longest, small.count)
    }

    /// The text itself; of a number its hexadecimal, base 32 and binary forms; of hexadecimal digits their bytes, in base 64 as well.
    static func forms(of text: String) -> [[UInt8]] {
        var forms = [Array(text.utf8)]
        let base64 = Data(text.utf8).base64EncodedString()
        forms.append(Array(base64.prefix { $0 != "=" }.dropLast().utf8))
        if let number = UInt64(text), number > UInt64(UInt32.max) {
            let digits = String(number, radix: 16)
            let big = (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
            forms.append(Array(digits.utf8))
            forms.append(Array(CrockfordBase32.encode(big, group: 64).utf8))
            forms.append(Array(CrockfordBase32.encode(big, group: 5).utf8))
            forms.append(big)
            forms.append(big.reversed())
        } else if let bytes = Self.hexadecimal(text), bytes.count >= 8 {
            forms.append(bytes)
            forms.append(Array(Data(bytes).base64EncodedString().prefix { $0 != "=" }.utf8))
        } else if text.contains("-") {
            // Codes that people type stand without their dashes, too.
            forms.append(Array(text.utf8.filter { $0 != UInt8(ascii: "-") }))
        }
        return forms
    }

    /// Spaces between groups are left out.
    private static func hexadecimal(_ text: String) -> [UInt8]? {
        let digits = text.filter { $0 != " " }
        guard digits.count.isMultiple(of: 2), !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isHexDigit }) else { return nil }
        var bytes: [UInt8] = []
        var rest = digits[...]
        while !rest.isEmpty {
            guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    static func small(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte + 32 : byte }

    /// Where in `bytes` which canaries begin, up to but not including `end`.
    func matches(in bytes: [UInt8], before end: Int, _ found: (_ offset: Int, _ canary: Int) -> Void) {
        guard bytes.count >= 2, !patterns.isEmpty else { return }
        bytes.withUnsafeBufferPointer { bytes in
            starts.withUnsafeBufferPointer { starts in
                var offset = 0
                while offset < end, offset + 1 < bytes.count {
                    let start = Int(Self.small(bytes[offset])) << 8 | Int(Self.small(bytes[offset + 1]))
                    if starts[start], let candidates = byStart[start] {
                        for candidate in candidates where Self.stands(patterns[candidate].bytes, at: offset, in: bytes) {
                            found(offset, patterns[candidate].canary)
                        }
                    }
                    offset += 1
                }
            }
        }
    }

    private static func stands(_ pattern: [UInt8], at offset: Int, in bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard offset + pattern.count <= bytes.count else { return false }
        for (index, byte) in pattern.enumerated() where small(bytes[offset + index]) != byte { return false }
        return true
    }
}

/// Searches a stream of bytes for canaries; tells the line, for text, and the offset. Keeps a piece and the longest canary in memory.
struct CanaryScan {
    private let canaries: Canaries
    private var held: [UInt8] = []
    private var offset = 0
    private var line = 1

    init(_ canaries: Canaries) { self.canaries = canaries }

    /// - Parameter piece: an empty one ends the stream.
    mutating func take(_ piece: UnsafeRawBufferPointer, _ found: (_ line: Int, _ offset: Int, _ canary: Int) -> Void) {
        held += piece
        // What begins later may go on in the next piece.
        let end = piece.isEmpty ? held.count : max(0, held.count - canaries.longest + 1)
        var matches: [(offset: Int, canary: Int)] = []
        canaries.matches(in: held, before: end) { matches.append(($0, $1)) }
        var counted = 0
        for match in matches {
            line += Self.lines(in: held[counted..<match.offset])
            counted = match.offset
            found(line, offset + match.offset, match.canary)
        }
        line += Self.lines(in: held[counted..<end])
        offset += end
        held.removeFirst(end)
    }

    private static func lines(in bytes: ArraySlice<UInt8>) -> Int {
        bytes.withUnsafeBufferPointer { $0.reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 } }
    }
}
