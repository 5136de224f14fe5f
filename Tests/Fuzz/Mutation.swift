import RelayModel

/// Makes new inputs out of valid ones. Deterministic for a seed.
struct Mutation {
    /// The longest input: a page of envelopes fits, and a case stays below a millisecond or so.
    static let inputBytes = 96 * 1024

    private var random: SeededGenerator
    private let corpus: [[UInt8]]

    init(seed: UInt64, corpus: [[UInt8]]) {
        random = SeededGenerator(seed: seed)
        self.corpus = corpus
    }

    mutating func next() -> [UInt8] {
        // Now and then no valid input at all.
        if Int.random(in: 0..<50, using: &random) == 0 { return noise(Int.random(in: 0...300, using: &random)) }
        var bytes = pick()
        for _ in 0..<Int.random(in: 1...4, using: &random) { change(&bytes) }
        if bytes.count > Mutation.inputBytes { bytes.removeLast(bytes.count - Mutation.inputBytes) }
        return bytes
    }

    private mutating func pick() -> [UInt8] { corpus.isEmpty ? [] : corpus[Int.random(in: 0..<corpus.count, using: &random)] }

    private mutating func noise(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }

    /// Lengths and tags stand at the beginning more often than not.
    private mutating func place(in bytes: [UInt8]) -> Int {
        let range = Bool.random(using: &random) ? bytes.count : min(bytes.count, 32)
        return Int.random(in: 0..<max(1, range), using: &random)
    }

    private mutating func range(in bytes: [UInt8]) -> Range<Int> {
        let start = place(in: bytes)
        let most = Bool.random(using: &random) ? 8 : bytes.count
        return start..<min(bytes.count, start + Int.random(in: 1...max(1, most), using: &random))
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else {
            bytes = noise(Int.random(in: 1...32, using: &random))
            return
        }
        let place = place(in: bytes)
        switch Int.random(in: 0..<10, using: &random) {
        case 0: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
        case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 2: bytes[place] = [0, 1, 0x7f, 0x80, 0xff, 0x7e, 0x22, 0x5c].randomElement(using: &random) ?? 0
        case 3: bytes.insert(contentsOf: noise(Int.random(in: 1...12, using: &random)), at: place)
        case 4: bytes.removeSubrange(range(in: bytes))
        case 5: bytes.insert(contentsOf: bytes[range(in: bytes)], at: place)
        case 6: bytes.removeLast(bytes.count - place)
        case 7: splice(&bytes, at: place)
        case 8: writeVarint(&bytes, at: place)
        default: writeInteger(&bytes, at: place)
        }
    }

    /// The beginning of one input and the end of another one.
    private mutating func splice(_ bytes: inout [UInt8], at place: Int) {
        let other = pick()
        guard !other.isEmpty else { return }
        bytes = Array(bytes[..<place]) + other[Int.random(in: 0..<other.count, using: &random)...]
    }

    /// A protobuf length or number, also one that is too long or too large.
    private mutating func writeVarint(_ bytes: inout [UInt8], at place: Int) {
        let numbers: [UInt64] = [0, 1, 127, 128, 255, 16_384, 65_536, 1 << 31 - 1, 1 << 31, 1 << 32, 1 << 63 - 1, 1 << 63, .max]
        var number = numbers.randomElement(using: &random) ?? 0
        var encoded: [UInt8] = []
        while number >= 0x80 {
            encoded.append(UInt8(truncatingIfNeeded: number) | 0x80)
            number >>= 7
        }
        encoded.append(UInt8(number))
        // Eleven bytes with the highest bit set are no number.
        if Int.random(in: 0..<8, using: &random) == 0 { encoded = [UInt8](repeating: 0xff, count: 11) }
        bytes.replaceSubrange(place..<min(bytes.count, place + (Bool.random(using: &random) ? 1 : encoded.count)), with: encoded)
    }

    /// A big-endian length, as frames and packed keys have them.
    private mutating func writeInteger(_ bytes: inout [UInt8], at place: Int) {
        let width = [2, 4, 8].randomElement(using: &random) ?? 2
        let numbers: [UInt64] = [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff, 1 << 63 - 1, 1 << 63, .max]
        let number = numbers.randomElement(using: &random) ?? 0
        for index in 0..<width where place + index < bytes.count {
            bytes[place + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * (width - 1 - index)))
        }
    }
}
