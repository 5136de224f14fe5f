import NIOCore
import RelayModel

/// Reads the frames of one direction of a WebSocket (RFC 6455) and gives whole messages and control frames.
///
/// Pure and bounded: between two calls of ``append(_:)`` it holds at most one unfinished message of `maxMessageBytes` and
/// ``pendingBytes`` of an unfinished header or control frame. A length is judged from the header, before its payload is kept.
/// After a close frame or an error, everything that follows is ignored. Confined to its owner.
///
/// Call ``append(_:)`` with what the socket gave, then ``next()`` until it gives nil. Whoever stops earlier leaves the rest of the buffer here, and
/// should read no more from the socket.
package struct WebSocketParser: ~Copyable {
    /// Who reads: a server demands masked frames, a client refuses them (section 5.1).
    package enum Role: Sendable { case server, client }

    package enum Event: Sendable, Equatable {
        case message(WebSocketMessage)
        case ping(ByteBuffer)
        case pong(ByteBuffer)
        /// `code` is nil when the peer gave none.
        case close(code: UInt16?, reason: String)
        /// The peer broke the protocol: send a close frame with this code and end the connection.
        case failed(code: UInt16, reason: String)
    }

    /// An unfinished header, or an unfinished control frame with its header: what is kept of a frame that is not a message.
    package static let pendingBytes = WebSocketFrames.headerBytes + 125

    private struct Frame {
        var fin: Bool
        var mask: UInt32?
        var payloadBytes: Int
        /// Payload bytes already taken into the message.
        var taken = 0
    }

    /// A message of which something is still to come. Only there while that is so: most messages arrive whole, and most connections are idle.
    private final class Arriving {
        let kind: WebSocketOpcode
        /// The frame whose payload is arriving; nil between two of a message.
        var frame: Frame?
        var message = ByteBuffer()
        var utf8 = UTF8Validator()

        init(_ kind: WebSocketOpcode) { self.kind = kind }
    }

    private let maxMessageBytes: UInt32
    private let role: Role
    private var ended = false
    private var input = ByteBuffer()
    private var arriving: Arriving?

    /// - Parameter maxMessageBytes: payload of one message, all its fragments together; below 4 GiB.
    package init(role: Role, maxMessageBytes: Int) {
        self.role = role
        self.maxMessageBytes = UInt32(clamping: maxMessageBytes)
    }

    /// Bytes held at the moment.
    package var bufferedBytes: Int { input.readableBytes + (arriving?.message.readableBytes ?? 0) }

    /// True after a close frame or an error: nothing more will come.
    package var isEnded: Bool { ended }

    /// Takes what the socket gave.
    package mutating func append(_ bytes: ByteBuffer) {
        guard !ended else { return }
        if input.readableBytes == 0 {
            input = bytes
        } else {
            input.writeImmutableBuffer(bytes)
        }
    }

    /// The next event; nil when more input is needed.
    package mutating func next() -> Event? {
        while !ended {
            if let arriving, let frame = arriving.frame {
                if let event = takePayload(of: frame, arriving) { return event }
                if arriving.frame != nil { break }
                continue
            }
            switch readHeader() {
            case .event(let event): return event
            case .again: continue
            case .needsMore:
                keepRemainder()
                return nil
            }
        }
        input = ByteBuffer()
        return nil
    }

    private enum Step {
        case event(Event)
        case again
        case needsMore
    }

    /// Keeps the few bytes of an unfinished header in a buffer of their size, so that no large receive buffer is held.
    private mutating func keepRemainder() {
        guard input.readableBytes > 0 else {
            input = ByteBuffer()
            return
        }
        guard input.storageCapacity > 2 * WebSocketParser.pendingBytes else { return }
        var small = ByteBufferAllocator().buffer(capacity: WebSocketParser.pendingBytes)
        small.writeImmutableBuffer(input)
        input = small
    }

    /// Nothing is read after a close frame or an error.
    private mutating func finish() {
        ended = true
        input = ByteBuffer()
        arriving = nil
    }

    private mutating func fail(_ code: UInt16, _ reason: String) -> Event {
        finish()
        return .failed(code: code, reason: reason)
    }

    // MARK: Header

    private mutating func readHeader() -> Step {
        let start = input.readerIndex
        guard let first = input.getInteger(at: start, as: UInt8.self), let second = input.getInteger(at: start + 1, as: UInt8.self) else {
            return .needsMore
        }
        guard first & 0x70 == 0 else { return .event(fail(1002, "a reserved bit is set")) }
        guard let opcode = WebSocketOpcode(rawValue: first & 0x0F) else { return .event(fail(1002, "unknown opcode")) }
        let fin = first & 0x80 != 0
        let masked = second & 0x80 != 0
        guard masked == (role == .server) else {
            return .event(fail(1002, role == .server ? "a client's frames must be masked" : "a server's frames must not be masked"))
        }
        var headerBytes = 2
        var length = UInt64(second & 0x7F)
        if opcode.isControl {
            guard fin else { return .event(fail(1002, "a control frame cannot be fragmented")) }
            guard length <= 125 else { return .event(fail(1002, "a control frame has at most 125 bytes")) }
        } else if opcode == .continuation {
            guard arriving != nil else { return .event(fail(1002, "a continuation without a message")) }
        } else {
            guard arriving == nil else { return .event(fail(1002, "a new message before the end of the last one")) }
        }
        if length == 126 {
            guard let wide = input.getInteger(at: start + 2, as: UInt16.self) else { return .needsMore }
            guard wide >= 126 else { return .event(fail(1002, "a length in more bytes than it needs")) }
            length = UInt64(wide)
            headerBytes = 4
        } else if length == 127 {
            guard let wide = input.getInteger(at: start + 2, as: UInt64.self) else { return .needsMore }
            guard wide > UInt64(UInt16.max), wide <= UInt64(Int64.max) else { return .event(fail(1002, "an ill-formed length")) }
            length = wide
            headerBytes = 10
        }
        if !opcode.isControl, length > UInt64(max(0, Int(maxMessageBytes) - (arriving?.message.readableBytes ?? 0))) {
            return .event(fail(1009, "a message has at most \(maxMessageBytes) bytes"))
        }
        var mask: UInt32?
        if masked {
            guard let key = input.getInteger(at: start + headerBytes, as: UInt32.self) else { return .needsMore }
            mask = key
            headerBytes += 4
        }
        // Safe: a control frame has at most 125 bytes, a data frame at most `maxMessageBytes`.
        let payloadBytes = Int(length)
        if opcode.isControl {
            guard input.readableBytes >= headerBytes + payloadBytes else { return .needsMore }
            input.moveReaderIndex(forwardBy: headerBytes)
            return .event(control(opcode, mask: mask, payloadBytes: payloadBytes))
        }
        input.moveReaderIndex(forwardBy: headerBytes)
        if arriving == nil, fin, input.readableBytes >= payloadBytes { return .event(wholeMessage(opcode, mask: mask, payloadBytes: payloadBytes)) }
        let message = arriving ?? Arriving(opcode)
        message.frame = Frame(fin: fin, mask: mask, payloadBytes: payloadBytes)
        arriving = message
        return .again
    }

    // MARK: Payload

    /// A message in one frame, all of which is there, as nearly always: it gets a buffer of exactly its size, so that whoever keeps a slice of
    /// it keeps no receive buffer of many times that.
    private mutating func wholeMessage(_ kind: WebSocketOpcode, mask: UInt32?, payloadBytes: Int) -> Event {
        var message = ByteBufferAllocator().buffer(capacity: payloadBytes)
        input.withUnsafeReadableBytes { bytes in
            let payload = UnsafeRawBufferPointer(rebasing: bytes[..<payloadBytes])
            if let mask {
                WebSocketMask.append(payload, mask: mask, to: &message)
            } else {
                message.writeBytes(payload)
            }
        }
        input.moveReaderIndex(forwardBy: payloadBytes)
        guard kind == .text else { return .message(.binary(message)) }
        var utf8 = UTF8Validator()
        guard message.withUnsafeReadableBytes({ utf8.accept($0) }), utf8.isComplete else { return fail(1007, "text must be UTF-8") }
        return .message(.text(message))
    }

    /// Moves what has arrived of a data frame into the message; gives the message when that was its last byte.
    private mutating func takePayload(of frame: Frame, _ arriving: Arriving) -> Event? {
        let count = min(frame.payloadBytes - frame.taken, input.readableBytes)
        if count > 0 {
            // Room for the rest of the frame, not only for what is there, so that a long one is not moved again and again; but for nobody's
            // promise more than a bounded part of it.
            let room = min(frame.payloadBytes - frame.taken, max(count, Limits.messageRoomBytes))
            if arriving.message.writableBytes < count {
                if arriving.message.readableBytes == 0 {
                    // Of exactly this size; growing rounds up to a power of two.
                    arriving.message = ByteBufferAllocator().buffer(capacity: room)
                } else {
                    arriving.message.reserveCapacity(minimumWritableBytes: room)
                }
            }
            input.withUnsafeReadableBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                if let mask = frame.mask {
                    WebSocketMask.append(part, mask: mask, offset: frame.taken, to: &arriving.message)
                } else {
                    arriving.message.writeBytes(part)
                }
            }
            input.moveReaderIndex(forwardBy: count)
            if arriving.kind == .text {
                let valid = arriving.message.withUnsafeReadableBytes { arriving.utf8.accept(UnsafeRawBufferPointer(rebasing: $0.suffix(count))) }
                guard valid else { return fail(1007, "text must be UTF-8") }
            }
        }
        guard frame.taken + count == frame.payloadBytes else {
            arriving.frame?.taken = frame.taken + count
            return nil
        }
        arriving.frame = nil
        guard frame.fin else { return nil }
        guard arriving.kind != .text || arriving.utf8.isComplete else { return fail(1007, "text must be UTF-8") }
        self.arriving = nil
        return .message(arriving.kind == .text ? .text(arriving.message) : .binary(arriving.message))
    }

    private mutating func control(_ opcode: WebSocketOpcode, mask: UInt32?, payloadBytes: Int) -> Event {
        var payload = ByteBuffer()
        input.withUnsafeReadableBytes { bytes in
            let part = UnsafeRawBufferPointer(rebasing: bytes[..<payloadBytes])
            if let mask {
                WebSocketMask.append(part, mask: mask, to: &payload)
            } else {
                payload.writeBytes(part)
            }
        }
        input.moveReaderIndex(forwardBy: payloadBytes)
        switch opcode {
        case .ping: return .ping(payload)
        case .pong: return .pong(payload)
        default: return close(payload)
        }
    }

    private mutating func close(_ payload: ByteBuffer) -> Event {
        var payload = payload
        if payload.readableBytes == 0 {
            finish()
            return .close(code: nil, reason: "")
        }
        guard let code = payload.readInteger(as: UInt16.self) else { return fail(1002, "a close code has two bytes") }
        guard WebSocketParser.mayBeSent(code) else { return fail(1002, "a close code that must not be sent") }
        var validator = UTF8Validator()
        guard payload.withUnsafeReadableBytes({ validator.accept($0) }), validator.isComplete else {
            return fail(1007, "a close reason must be UTF-8")
        }
        finish()
        return .close(code: code, reason: String(buffer: payload))
    }

    /// Section 7.4 and the IANA registry: 1004, 1005, 1006 and 1015 never travel, 1016 to 2999 are not given out.
    package static func mayBeSent(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}
