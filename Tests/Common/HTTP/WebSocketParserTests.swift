import NIOCore
import RelayModel
import Testing

@testable import RelayHTTP

/// Frames as a test writes them, also wrong ones.
struct RawFrame {
    var opcode: UInt8
    var payload: [UInt8] = []
    var fin = true
    var reserved: UInt8 = 0
    var mask: UInt32? = 0x0102_03FF

    var bytes: [UInt8] {
        var out: [UInt8] = [(fin ? 0x80 : 0) | reserved | opcode]
        let masked: UInt8 = mask == nil ? 0 : 0x80
        switch payload.count {
        case ..<126: out.append(masked | UInt8(payload.count))
        case ..<65_536: out += [masked | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default:
            out.append(masked | 127)
            for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: payload.count >> shift)) }
        }
        guard let mask else { return out + payload }
        let key = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: mask >> UInt32($0)) }
        out += key
        for (index, byte) in payload.enumerated() { out.append(byte ^ key[index & 3]) }
        return out
    }
}

func events(_ chunks: [[UInt8]], role: WebSocketParser.Role = .server, max: Int = 100_000) -> [WebSocketParser.Event] {
    var parser = WebSocketParser(role: role, maxMessageBytes: max)
    var found: [WebSocketParser.Event] = []
    for chunk in chunks {
        parser.append(ByteBuffer(bytes: chunk))
        while let event = parser.next() { found.append(event) }
        #expect(parser.bufferedBytes <= max + WebSocketParser.pendingBytes)
    }
    return found
}

func events(_ frames: RawFrame..., role: WebSocketParser.Role = .server, max: Int = 100_000) -> [WebSocketParser.Event] {
    events([frames.flatMap(\.bytes)], role: role, max: max)
}

func code(_ found: [WebSocketParser.Event]) -> UInt16? {
    if case .failed(let code, _)? = found.last { return code }
    return nil
}

@Suite struct WebSocketParserTests {
    @Test(arguments: [0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 1000, 65_535, 65_536, 65_537])
    func wholeMessages(count: Int) {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        #expect(events(RawFrame(opcode: 2, payload: payload)) == [.message(.binary(ByteBuffer(bytes: payload)))])
        #expect(events(RawFrame(opcode: 2, payload: payload, mask: nil), role: .client) == [.message(.binary(ByteBuffer(bytes: payload)))])
    }

    @Test func text() {
        let text = "שלום κόσμε 世界 🌍 e\u{301}"
        #expect(events(RawFrame(opcode: 1, payload: Array(text.utf8))) == [.message(.text(ByteBuffer(string: text)))])
        #expect(events(RawFrame(opcode: 1)) == [.message(.text(ByteBuffer()))])
    }

    @Test func fragmentsWithControlFramesBetween() {
        let found = events(
            RawFrame(opcode: 1, payload: [0xCE], fin: false), RawFrame(opcode: 9, payload: [1, 2]),
            RawFrame(opcode: 0, payload: [0xBA], fin: false), RawFrame(opcode: 10), RawFrame(opcode: 0, payload: [], fin: false),
            RawFrame(opcode: 0, payload: Array("!".utf8)), RawFrame(opcode: 2, payload: [9]))
        #expect(
            found == [
                .ping(ByteBuffer(bytes: [1, 2])), .pong(ByteBuffer()), .message(.text(ByteBuffer(string: "κ!"))),
                .message(.binary(ByteBuffer(bytes: [9]))),
            ])
    }

    @Test(arguments: [
        RawFrame(opcode: 2, reserved: 0x40), RawFrame(opcode: 2, reserved: 0x20), RawFrame(opcode: 9, reserved: 0x10),
        RawFrame(opcode: 3), RawFrame(opcode: 7), RawFrame(opcode: 11), RawFrame(opcode: 15),
        RawFrame(opcode: 9, fin: false), RawFrame(opcode: 8, fin: false), RawFrame(opcode: 9, payload: [UInt8](repeating: 0, count: 126)),
        RawFrame(opcode: 0), RawFrame(opcode: 0, fin: false), RawFrame(opcode: 2, mask: nil), RawFrame(opcode: 8, payload: [3]),
    ])
    func protocolErrors(frame: RawFrame) {
        #expect(code(events(frame)) == 1002)
    }

    @Test func aServersFramesAreNotMasked() {
        #expect(code(events(RawFrame(opcode: 2), role: .client)) == 1002)
    }

    @Test func aNewMessageInsideAnother() {
        #expect(code(events(RawFrame(opcode: 2, fin: false), RawFrame(opcode: 2))) == 1002)
    }

    @Test func lengthsAreMinimalAndPositive() {
        #expect(code(events([[0x82, 0xFE, 0, 125]])) == 1002)
        #expect(code(events([[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]])) == 1002)
        #expect(code(events([[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]])) == 1002)
    }

    @Test func tooLargeIsJudgedFromTheHeader() {
        #expect(code(events([[0x82, 0xFE, 0x03, 0xE9]], max: 1000)) == 1009)
        #expect(code(events([[0x82, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255]])) == 1009)
        let half = [UInt8](repeating: 1, count: 600)
        #expect(code(events(RawFrame(opcode: 2, payload: half, fin: false), RawFrame(opcode: 0, payload: half), max: 1000)) == 1009)
        #expect(events(RawFrame(opcode: 2, payload: half, fin: false), RawFrame(opcode: 0, payload: half), max: 1200).count == 1)
    }

    @Test func closing() {
        #expect(events(RawFrame(opcode: 8), RawFrame(opcode: 9)) == [.close(code: nil, reason: "")])
        #expect(events(RawFrame(opcode: 8, payload: [0x03, 0xE8])) == [.close(code: 1000, reason: "")])
        #expect(events(RawFrame(opcode: 8, payload: [0x11, 0x31] + Array("ωραία".utf8))) == [.close(code: 4401, reason: "ωραία")])
        #expect(code(events(RawFrame(opcode: 8, payload: [0x03, 0xE8, 0xC3]))) == 1007)
    }

    @Test(arguments: [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] as [UInt16])
    func closeCodesThatNeverTravel(number: UInt16) {
        #expect(code(events(RawFrame(opcode: 8, payload: [UInt8(number >> 8), UInt8(number & 255)]))) == 1002)
    }

    @Test(arguments: [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999] as [UInt16])
    func closeCodesThatTravel(number: UInt16) {
        #expect(events(RawFrame(opcode: 8, payload: [UInt8(number >> 8), UInt8(number & 255)])) == [.close(code: number, reason: "")])
    }

    @Test(
        arguments: [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF5],
            [0xFF], [0xCE], [0xCE, 0x41], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0xFE],
        ] as [[UInt8]])
    func textMustBeUTF8(payload: [UInt8]) {
        #expect(code(events(RawFrame(opcode: 1, payload: payload))) == 1007)
        #expect(code(events(RawFrame(opcode: 1, payload: payload).bytes.map { [$0] })) == 1007)
    }

    @Test func wrongTextFailsBeforeTheMessageEnds() {
        #expect(code(events(RawFrame(opcode: 1, payload: [0x41, 0xFF], fin: false))) == 1007)
        var frame = RawFrame(opcode: 1, payload: [0xF4, 0x90, 0x41, 0x41]).bytes
        frame.removeLast(2)
        #expect(code(events([frame])) == 1007)
    }

    @Test func nothingFollowsAnError() {
        #expect(events(RawFrame(opcode: 3), RawFrame(opcode: 2, payload: [1])).count == 1)
    }

    @Test func theValidatorAgreesWithTheStandardLibrary() {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                [0x41, 0x80, 0xBF, 0x90, 0x9F, 0xA0, 0xC2, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF1, 0xF4].randomElement(using: &random) ?? UInt8(0)
            }
            var validator = UTF8Validator()
            let cut = Int.random(in: 0...bytes.count, using: &random)
            let valid =
                bytes.withUnsafeBytes { all in
                    validator.accept(UnsafeRawBufferPointer(rebasing: all[..<cut])) && validator.accept(UnsafeRawBufferPointer(rebasing: all[cut...]))
                } && validator.isComplete
            #expect(valid == (String(validating: bytes, as: UTF8.self) != nil), "\(bytes)")
        }
    }

    /// A valid stream: messages in fragments, control frames between them, sometimes a close at the end.
    private func stream(_ random: inout SeededGenerator) -> (bytes: [UInt8], events: [WebSocketParser.Event]) {
        var bytes: [UInt8] = []
        var expected: [WebSocketParser.Event] = []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let isText = Bool.random(using: &random)
            let count = [0, 3, 125, 126, 700, 66_000].randomElement(using: &random) ?? 0
            var payload = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            if isText { payload = Array(String(decoding: payload.prefix(2000), as: UTF8.self).utf8) }
            var rest = payload[...]
            var first = true
            repeat {
                let last = Int.random(in: 0..<3, using: &random) == 0
                let part = last ? rest : rest.prefix(Int.random(in: 0...rest.count, using: &random))
                rest = rest.dropFirst(part.count)
                bytes +=
                    RawFrame(
                        opcode: first ? (isText ? 1 : 2) : 0, payload: Array(part), fin: last, mask: .random(in: .min ... .max, using: &random)
                    ).bytes
                first = false
                if last {
                    expected.append(.message(isText ? .text(ByteBuffer(bytes: payload)) : .binary(ByteBuffer(bytes: payload))))
                    break
                }
                if Bool.random(using: &random) {
                    let data = (0..<Int.random(in: 0...125, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
                    let ping = Bool.random(using: &random)
                    bytes += RawFrame(opcode: ping ? 9 : 10, payload: data).bytes
                    expected.append(ping ? .ping(ByteBuffer(bytes: data)) : .pong(ByteBuffer(bytes: data)))
                }
            } while true
        }
        if Bool.random(using: &random) {
            bytes += RawFrame(opcode: 8, payload: [0x03, 0xE9]).bytes
            expected.append(.close(code: 1001, reason: ""))
        }
        return (bytes, expected)
    }

    private func split(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [[UInt8]] {
        var chunks: [[UInt8]] = []
        var rest = bytes[...]
        let most = [1, 3, 20, 3000].randomElement(using: &random) ?? 1
        while !rest.isEmpty {
            let chunk = rest.prefix(Int.random(in: 1...most, using: &random))
            chunks.append(Array(chunk))
            rest = rest.dropFirst(chunk.count)
        }
        return chunks
    }

    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func anySplitGivesTheSameEvents(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for round in 0..<15 {
            let (bytes, expected) = stream(&random)
            #expect(events([bytes]) == expected, "seed \(seed) round \(round)")
            #expect(events(split(bytes, &random)) == expected, "seed \(seed) round \(round)")
        }
    }

    /// Random bytes, and valid streams with a few bytes changed: no crash, no more kept than allowed, the same end however they are split.
    @Test func randomStreams() {
        let seed: UInt64 = 20_261_121
        var random = SeededGenerator(seed: seed)
        for round in 0..<10_000 {
            var bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            if round % 2 == 0 {
                bytes = (0..<4).flatMap { _ in
                    RawFrame(
                        opcode: [0, 1, 2, 8, 9, 10].randomElement(using: &random) ?? 0,
                        payload: (0..<Int.random(in: 0...140, using: &random)).map { _ in UInt8.random(in: 0x20...0x7F, using: &random) },
                        fin: Bool.random(using: &random)
                    ).bytes
                }
                let changed = Int.random(in: 0..<bytes.count, using: &random)
                bytes[changed] = .random(in: .min ... .max, using: &random)
            }
            let whole = events([bytes], max: 500)
            #expect(events(split(bytes, &random), max: 500) == whole, "seed \(seed) round \(round)")
        }
    }

    @Test func framesAreReadBack() {
        var buffer = ByteBuffer()
        let payload = ByteBuffer(repeating: 7, count: 70_000)
        WebSocketFrames.write(.binary, payload: payload, mask: 0xDEAD_BEEF, into: &buffer)
        WebSocketFrames.writeClose(code: 4401, reason: String(repeating: "é", count: 100), mask: 1, into: &buffer)
        let found = events([Array(buffer.readableBytesView)])
        #expect(found == [.message(.binary(payload)), .close(code: 4401, reason: String(repeating: "é", count: 61))])
    }
}

extension RawFrame: CustomTestStringConvertible, Sendable {
    var testDescription: String { "opcode \(opcode), fin \(fin), reserved \(reserved), \(payload.count) bytes, masked \(mask != nil)" }
}
