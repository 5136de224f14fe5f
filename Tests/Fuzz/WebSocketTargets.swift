import NIOCore
import RelayHTTP
import RelayModel

/// The frame parser as the gateway uses it, against ``ReferenceFrames``.
struct WebSocketServerTarget: FuzzTarget {
    static let name = "websocket-server"
    func corpus() -> [(name: String, bytes: [UInt8])] { WebSocketCase.corpus(masked: true) }
    func run(_ input: [UInt8]) throws { try WebSocketCase.run(input, .server) }
}

/// The same as the client library uses it.
struct WebSocketClientTarget: FuzzTarget {
    static let name = "websocket-client"
    func corpus() -> [(name: String, bytes: [UInt8])] { WebSocketCase.corpus(masked: false) }
    func run(_ input: [UInt8]) throws { try WebSocketCase.run(input, .client) }
}

private enum WebSocketCase {
    /// Small, so that mutated lengths are on both sides of it and a case is quick; above 126, where lengths change their form.
    static let maxMessageBytes = 300

    /// The same events must come out however the input is cut, those of the reference, and what is held stays within its bound.
    static func run(_ input: [UInt8], _ role: WebSocketParser.Role) throws {
        let expected = ReferenceFrames.events(in: input, role: role, maxMessageBytes: maxMessageBytes)
        for cutting in Cutting.allCases {
            var random = SeededGenerator(seed: seed(of: input))
            var parser = WebSocketParser(role: role, maxMessageBytes: maxMessageBytes)
            var found: [WebSocketParser.Event] = []
            var rest = input[...]
            while !rest.isEmpty {
                let part = rest.prefix(cutting.length(rest.count, of: input.count, &random))
                rest = rest.dropFirst(part.count)
                parser.append(ByteBuffer(bytes: part))
                while let event = parser.next() { found.append(event) }
                guard parser.bufferedBytes <= maxMessageBytes + WebSocketParser.pendingBytes else {
                    throw Finding("\(parser.bufferedBytes) bytes are held")
                }
            }
            guard found.map(ReferenceFrames.Event.init) == expected else {
                throw Finding("cut \(cutting), the parser gives \(found), the reference \(expected)")
            }
        }
    }

    enum Cutting: CaseIterable {
        case whole, pieces, bytes

        func length(_ left: Int, of whole: Int, _ random: inout SeededGenerator) -> Int {
            switch self {
            case .whole: left
            case .pieces: Int.random(in: 1...max(1, left / 2), using: &random)
            // Headers are at the beginning and, of the next frame, near the end.
            case .bytes: whole - left < 64 || left <= 32 ? 1 : left - 32
            }
        }
    }

    static func corpus(masked: Bool) -> [(name: String, bytes: [UInt8])] {
        let mask: UInt8 = masked ? 0x80 : 0
        let key: [UInt8] = masked ? [0x37, 0xfa, 0x21, 0x3d] : []
        func frame(_ opcode: UInt8, _ payload: [UInt8], final: Bool = true) -> [UInt8] {
            var bytes: [UInt8] = [(final ? 0x80 : 0) | opcode]
            if payload.count < 126 {
                bytes.append(mask | UInt8(payload.count))
            } else {
                bytes += [mask | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
            }
            guard masked else { return bytes + payload }
            return bytes + key + payload.enumerated().map { $1 ^ key[$0 & 3] }
        }
        func numbers(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }
        let text = Array("Größe, 大きさ, 📏".utf8)
        return [
            ("binary", frame(2, numbers(40))), ("empty", frame(2, []) + frame(1, [])), ("long", frame(2, numbers(200)) + frame(2, numbers(299))),
            ("text", frame(1, text)), ("ping-pong", frame(9, numbers(5)) + frame(10, []) + frame(9, numbers(125))),
            (
                "fragments",
                frame(1, Array(text[..<3]), final: false) + frame(9, [1]) + frame(0, Array(text[3...9]), final: false) + frame(0, Array(text[10...]))
            ),
            ("close", frame(8, [0x03, 0xe8] + text) + frame(2, [1])), ("close-empty", frame(8, [])), ("close-code", frame(8, [0x0f, 0xa0])),
            ("at-the-limit", frame(2, numbers(150), final: false) + frame(0, numbers(150))),
            ("beyond-the-limit", frame(2, numbers(150), final: false) + frame(0, numbers(151))),
            // Wrong by one.
            ("length-wider-than-needed", [0x82, mask | 126, 0, 125] + key + numbers(125)),
            ("length-far-wider-than-needed", [0x82, mask | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + key),
            ("length-negative", [0x82, mask | 127, 0x80, 0, 0, 0, 0, 0, 0, 1] + key),
            ("control-too-long", frame(9, numbers(126))), ("control-unfinished", frame(9, [], final: false)),
            ("text-cut-in-a-character", frame(1, Array(text.dropLast(1)))), ("text-surrogate", frame(1, [0xed, 0xa0, 0x80])),
            ("text-overlong", frame(1, [0xc0, 0x80])), ("text-beyond-the-last-character", frame(1, [0xf4, 0x90, 0x80, 0x80])),
            ("close-one-byte", frame(8, [3])), ("close-reason-cut", frame(8, [0x03, 0xe8] + text.dropLast(1))),
            ("close-code-of-nobody", frame(8, [0x03, 0xed])), ("continuation-of-nothing", frame(0, [1])),
            ("message-in-a-message", frame(2, [1], final: false) + frame(2, [1])),
        ]
    }
}
