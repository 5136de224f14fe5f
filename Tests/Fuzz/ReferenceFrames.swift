import NIOCore
import RelayHTTP

/// RFC 6455 once more, over the whole input at once and without any regard to cost: what ``WebSocketParser`` must agree with.
enum ReferenceFrames {
    enum Event: Equatable {
        case text([UInt8]), binary([UInt8]), ping([UInt8]), pong([UInt8])
        case close(UInt16?, String)
        /// Reasons are for people; they are not compared.
        case failed(UInt16)

        init(_ event: WebSocketParser.Event) {
            switch event {
            case .message(.text(let payload)): self = .text(Array(payload.readableBytesView))
            case .message(.binary(let payload)): self = .binary(Array(payload.readableBytesView))
            case .ping(let payload): self = .ping(Array(payload.readableBytesView))
            case .pong(let payload): self = .pong(Array(payload.readableBytesView))
            case .close(let code, let reason): self = .close(code, reason)
            case .failed(let code, _): self = .failed(code)
            }
        }
    }

    /// The events of a stream that ends after `bytes`.
    static func events(in bytes: [UInt8], role: WebSocketParser.Role, maxMessageBytes: Int) -> [Event] {
        var found: [Event] = []
        var at = 0
        /// The kind of the unfinished message, and what there is of it.
        var kind: UInt8?
        var message: [UInt8] = []

        func number(_ place: Int, _ width: Int) -> UInt64? {
            guard place + width <= bytes.count else { return nil }
            return bytes[place..<(place + width)].reduce(0) { $0 << 8 | UInt64($1) }
        }

        while at + 2 <= bytes.count {
            let (first, second) = (bytes[at], bytes[at + 1])
            let (final, opcode, masked) = (first >= 0x80, first & 0x0f, second >= 0x80)
            let isControl = opcode >= 8
            guard first & 0x70 == 0, [0, 1, 2, 8, 9, 10].contains(opcode), masked == (role == .server) else { return found + [.failed(1002)] }
            if isControl {
                guard final, second & 0x7f <= 125 else { return found + [.failed(1002)] }
            } else {
                guard (opcode == 0) == (kind != nil) else { return found + [.failed(1002)] }
            }
            var length = UInt64(second & 0x7f)
            var payloadAt = at + 2
            if length >= 126 {
                let width = length == 126 ? 2 : 8
                guard let wide = number(payloadAt, width) else { return found }
                guard wide >= (width == 2 ? 126 : 65_536), wide < 1 << 63 else { return found + [.failed(1002)] }
                length = wide
                payloadAt += width
            }
            if !isControl, length > UInt64(maxMessageBytes - message.count) { return found + [.failed(1009)] }
            var key: [UInt8] = [0, 0, 0, 0]
            if masked {
                guard payloadAt + 4 <= bytes.count else { return found }
                key = Array(bytes[payloadAt..<(payloadAt + 4)])
                payloadAt += 4
            }
            let end = payloadAt + Int(length)
            var payload = Array(bytes[payloadAt..<min(end, bytes.count)])
            if masked { for place in payload.indices { payload[place] ^= key[place % 4] } }
            let isWhole = end <= bytes.count
            at = end
            if isControl {
                guard isWhole else { return found }
                switch opcode {
                case 9: found.append(.ping(payload))
                case 10: found.append(.pong(payload))
                default: return found + [close(payload)]
                }
                continue
            }
            if opcode != 0 { kind = opcode }
            message += payload
            if kind == 1, !isPrefixOfUTF8(message) { return found + [.failed(1007)] }
            guard isWhole else { return found }
            guard final else { continue }
            if kind == 1, String(validating: message, as: UTF8.self) == nil { return found + [.failed(1007)] }
            found.append(kind == 1 ? .text(message) : .binary(message))
            kind = nil
            message = []
        }
        return found
    }

    private static func close(_ payload: [UInt8]) -> Event {
        if payload.isEmpty { return .close(nil, "") }
        guard payload.count >= 2 else { return .failed(1002) }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        guard WebSocketParser.mayBeSent(code) else { return .failed(1002) }
        guard let reason = String(validating: payload[2...], as: UTF8.self) else { return .failed(1007) }
        return .close(code, reason)
    }

    /// True when something could follow that makes it UTF-8.
    private static func isPrefixOfUTF8(_ bytes: [UInt8]) -> Bool {
        // An unfinished character has at most three bytes. Every one can be finished with some of these.
        let endings: [[UInt8]] = [[], [0x80], [0x80, 0x80], [0x80, 0x80, 0x80], [0xa0, 0x80], [0x90, 0x80, 0x80]]
        return endings.contains { String(validating: bytes + $0, as: UTF8.self) != nil }
    }
}
