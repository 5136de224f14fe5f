import NIOCore

/// What a frame is (RFC 6455, section 5.2).
package enum WebSocketOpcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    package var isControl: Bool { rawValue >= 8 }
}

/// A whole message of a peer.
package enum WebSocketMessage: Sendable, Equatable {
    case binary(ByteBuffer)
    /// Valid UTF-8.
    case text(ByteBuffer)
}

/// Writes frames. Pure; any thread.
package enum WebSocketFrames {
    /// Bytes of the longest header: two, a 64-bit length, a mask.
    package static let headerBytes = 14

    /// Appends one final frame. A client gives a fresh random mask for each frame, a server none.
    package static func write(_ opcode: WebSocketOpcode, payload: ByteBuffer, mask: UInt32?, into buffer: inout ByteBuffer) {
        writeHeader(opcode, payloadBytes: payload.readableBytes, mask: mask, into: &buffer)
        if let mask {
            payload.withUnsafeReadableBytes { WebSocketMask.append($0, mask: mask, to: &buffer) }
        } else {
            buffer.writeImmutableBuffer(payload)
        }
    }

    /// Appends the header of a frame whose payload the caller writes behind it.
    package static func writeHeader(
        _ opcode: WebSocketOpcode, payloadBytes: Int, mask: UInt32?, fin: Bool = true, into buffer: inout ByteBuffer
    ) {
        let masked: UInt8 = mask == nil ? 0 : 0x80
        buffer.writeInteger((fin ? 0x80 : 0) | opcode.rawValue)
        if payloadBytes < 126 {
            buffer.writeInteger(masked | UInt8(payloadBytes))
        } else if payloadBytes <= Int(UInt16.max) {
            buffer.writeInteger(masked | 126)
            buffer.writeInteger(UInt16(payloadBytes))
        } else {
            buffer.writeInteger(masked | 127)
            buffer.writeInteger(UInt64(payloadBytes))
        }
        if let mask { buffer.writeInteger(mask) }
    }

    /// Appends a close frame; the reason is cut at a character so that it fits a control frame (125 bytes).
    package static func writeClose(code: UInt16, reason: String = "", mask: UInt32?, into buffer: inout ByteBuffer) {
        var payload = ByteBuffer()
        payload.writeInteger(code)
        var fitting = reason[...]
        while fitting.utf8.count > 123 { fitting.removeLast() }
        payload.writeSubstring(fitting)
        write(.close, payload: payload, mask: mask, into: &buffer)
    }
}

/// The exclusive-or of RFC 6455, section 5.3, eight bytes at a time.
enum WebSocketMask {
    /// Appends `bytes`, masked or unmasked (the same operation).
    /// - Parameters:
    ///   - mask: the key as the big-endian number that the frame carries.
    ///   - offset: how many bytes of the frame's payload came before.
    static func append(_ bytes: UnsafeRawBufferPointer, mask: UInt32, offset: Int = 0, to buffer: inout ByteBuffer) {
        let count = bytes.count
        guard count > 0 else { return }
        let turn = UInt32(offset & 3) * 8
        let turned = turn == 0 ? mask : (mask << turn) | (mask >> (32 - turn))
        let key = turned.bigEndian
        let wide = UInt64(key) | UInt64(key) << 32
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            var index = 0
            while index + 8 <= count {
                target.storeBytes(
                    of: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ wide, toByteOffset: index, as: UInt64.self)
                index += 8
            }
            // At most seven bytes are left.
            while index < count {
                target[index] = bytes[index] ^ UInt8(truncatingIfNeeded: turned >> (24 - 8 * UInt32(index & 3)))
                index += 1
            }
            return count
        }
    }
}
