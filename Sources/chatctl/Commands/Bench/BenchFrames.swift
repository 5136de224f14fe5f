import FoundationEssentials
import NIOCore
import RelayHTTP
import RelayModel

/// The frames that a load consists of, written and read by hand: the load generator shares the machine with the relay that it measures, and must
/// cost little beside it. Tested against the library that the clients use. Pure; any thread.
enum BenchFrames {
    /// When the message was due and its client message id, at the head of every body: eight bytes each, big-endian.
    static let stampBytes = 16

    /// `ClientFrame.send`. `keys` is what ``keys(_:)`` gave.
    static func send(chat: UInt64, number: UInt64, body: ByteBuffer, keys: ByteBuffer, into payload: inout ByteBuffer) {
        let bodyBytes = UInt64(body.readableBytes)
        let length =
            1 + varintBytes(chat) + 1 + varintBytes(number) + 1 + varintBytes(bodyBytes) + body.readableBytes + keys.readableBytes
        tag(1, .varint, number, &payload)
        tag(2, .bytes, UInt64(length), &payload)
        tag(1, .varint, chat, &payload)
        tag(2, .varint, number, &payload)
        tag(3, .bytes, bodyBytes, &payload)
        payload.writeImmutableBuffer(body)
        payload.writeImmutableBuffer(keys)
    }

    /// `ClientFrame.ack`.
    static func acknowledgement(_ mailboxSeq: UInt64, into payload: inout ByteBuffer) {
        tag(3, .bytes, UInt64(1 + varintBytes(mailboxSeq)), &payload)
        tag(1, .varint, mailboxSeq, &payload)
    }

    /// The field `keys` of a `Send` for these devices; as long as real ones: what `crypto_box` makes of a 32-byte key.
    static func keys(_ accounts: [BenchAccount], _ random: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer()
        // The relay takes them in the order of the users, and of each user's devices.
        var rest = accounts.sorted { ($0.user, $0.device) < ($1.user, $1.device) }[...]
        while let user = rest.first?.user {
            let own = rest.prefix { $0.user == user }
            rest = rest.dropFirst(own.count)
            func bytes(_ device: DeviceID) -> UInt64 { UInt64(1 + varintBytes(device.rawValue) + 2 + random.count) }
            let devices = own.reduce(UInt64(0)) { $0 + 1 + UInt64(varintBytes(bytes($1.device))) + bytes($1.device) }
            tag(4, .bytes, UInt64(1 + varintBytes(user.rawValue)) + devices, &buffer)
            tag(1, .varint, user.rawValue, &buffer)
            for account in own {
                tag(2, .bytes, bytes(account.device), &buffer)
                tag(1, .varint, account.device.rawValue, &buffer)
                tag(2, .bytes, UInt64(random.count), &buffer)
                buffer.writeBytes(random)
            }
        }
        return buffer
    }

    // MARK: Reading

    /// What a `ServerFrame` was, besides the envelopes of a `Deliver`.
    enum Reply: Equatable {
        case sent(number: UInt64, chat: UInt64, chatSeq: UInt64, messageID: UInt64)
        /// A refusal, with the relay's code.
        case error(request: UInt64, code: String, message: String)
        case delivered
        case caughtUp
        case keyChange
        case presenceTerms
        /// How many users it tells of, and whether it is all that there is.
        case presence(users: Int, isSnapshot: Bool)
        /// What the bench does not need: receipts, pongs, announcements.
        case other
    }

    struct Envelope: Equatable {
        var mailboxSeq: UInt64 = 0
        var chat: UInt64 = 0
        var chatSeq: UInt64 = 0
        var messageID: UInt64 = 0
        var senderDevice: UInt64 = 0
        var clientMessageID: UInt64 = 0
        var bodyBytes = 0
        /// From the stamp in the body; 0 without one.
        var due: UInt64 = 0
        var stampedNumber: UInt64 = 0
        /// A change of the group, a deletion, or a marker: no message.
        var special = false
    }

    /// Reads a `ServerFrame`; gives nil when it is none.
    static func read(_ frame: ByteBuffer, envelope: (Envelope) -> Void) -> Reply? {
        frame.withUnsafeReadableBytes { bytes in
            var fields = Fields(bytes)
            var request: UInt64 = 0
            var reply = Reply.other
            while let field = fields.next() {
                switch (field.number, field.value) {
                case (1, .varint(let value)): request = value
                case (2, .bytes(let inner)):
                    guard let sent = readSent(inner) else { return nil }
                    reply = sent
                case (3, .bytes(let inner)):
                    guard let error = readError(inner) else { return nil }
                    reply = error
                case (4, .bytes(let inner)):
                    guard readDeliver(inner, envelope) else { return nil }
                    reply = .delivered
                case (6, .bytes): reply = .caughtUp
                case (10, .bytes): reply = .keyChange
                case (11, .bytes): reply = .presenceTerms
                case (12, .bytes(let inner)):
                    guard let presence = readPresence(inner) else { return nil }
                    reply = presence
                default: break
                }
            }
            guard fields.isComplete else { return nil }
            if case .error(_, let code, let message) = reply { return .error(request: request, code: code, message: message) }
            return reply
        }
    }

    private static func readSent(_ bytes: UnsafeRawBufferPointer) -> Reply? {
        var fields = Fields(bytes)
        var (number, chat, chatSeq, messageID): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        while let field = fields.next() {
            guard case .varint(let value) = field.value else { continue }
            switch field.number {
            case 1: chat = value
            case 2: number = value
            case 3: messageID = value
            case 4: chatSeq = value
            default: break
            }
        }
        return fields.isComplete ? .sent(number: number, chat: chat, chatSeq: chatSeq, messageID: messageID) : nil
    }

    private static func readPresence(_ bytes: UnsafeRawBufferPointer) -> Reply? {
        var fields = Fields(bytes)
        var (users, isSnapshot) = (0, false)
        while let field = fields.next() {
            switch (field.number, field.value) {
            case (1, .bytes): users += 1
            case (2, .varint(let value)): isSnapshot = value != 0
            default: break
            }
        }
        return fields.isComplete ? .presence(users: users, isSnapshot: isSnapshot) : nil
    }

    private static func readError(_ bytes: UnsafeRawBufferPointer) -> Reply? {
        var fields = Fields(bytes)
        var (code, message) = ("", "")
        while let field = fields.next() {
            guard case .bytes(let text) = field.value else { continue }
            if field.number == 1 { code = String(decoding: text, as: UTF8.self) }
            if field.number == 2 { message = String(decoding: text, as: UTF8.self) }
        }
        return fields.isComplete ? .error(request: 0, code: code, message: message) : nil
    }

    private static func readDeliver(_ bytes: UnsafeRawBufferPointer, _ receive: (Envelope) -> Void) -> Bool {
        var fields = Fields(bytes)
        while let field = fields.next() {
            guard field.number == 1, case .bytes(let inner) = field.value else { continue }
            guard let envelope = readEnvelope(inner) else { return false }
            receive(envelope)
        }
        return fields.isComplete
    }

    private static func readEnvelope(_ bytes: UnsafeRawBufferPointer) -> Envelope? {
        var fields = Fields(bytes)
        var envelope = Envelope()
        while let field = fields.next() {
            switch (field.number, field.value) {
            case (1, .varint(let value)): envelope.mailboxSeq = value
            case (2, .varint(let value)): envelope.chat = value
            case (3, .varint(let value)): envelope.chatSeq = value
            case (4, .varint(let value)): envelope.messageID = value
            case (7, .varint(let value)): envelope.senderDevice = value
            case (8, .varint(let value)): envelope.clientMessageID = value
            case (9, .bytes(let body)):
                envelope.bodyBytes = body.count
                guard body.count >= stampBytes else { continue }
                envelope.due = UInt64(bigEndian: body.loadUnaligned(as: UInt64.self))
                envelope.stampedNumber = UInt64(bigEndian: body.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            case (11, .bytes), (12, .bytes): envelope.special = true
            case (13, .varint(let value)), (14, .varint(let value)): if value != 0 { envelope.special = true }
            default: break
            }
        }
        return fields.isComplete ? envelope : nil
    }

    /// The fields of one protobuf message. Lengths are checked against what is there.
    private struct Fields {
        enum Value {
            case varint(UInt64)
            case bytes(UnsafeRawBufferPointer)
            /// Eight or four bytes; none of the fields that the bench reads.
            case fixed
        }

        private let bytes: UnsafeRawBufferPointer
        private var index = 0
        private var broken = false

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        /// True when the last ``next()`` was nil because the message ended where it should.
        var isComplete: Bool { !broken && index == bytes.count }

        mutating func next() -> (number: UInt64, value: Value)? {
            guard !broken, index < bytes.count else { return nil }
            guard let tag = varint() else { return fail() }
            switch tag & 7 {
            case 0:
                guard let value = varint() else { return fail() }
                return (tag >> 3, .varint(value))
            case 2:
                guard let length = varint(), length <= UInt64(bytes.count - index) else { return fail() }
                let start = index
                index += Int(length)
                return (tag >> 3, .bytes(UnsafeRawBufferPointer(rebasing: bytes[start..<index])))
            case 1, 5:
                let length = tag & 7 == 1 ? 8 : 4
                guard length <= bytes.count - index else { return fail() }
                index += length
                return (tag >> 3, .fixed)
            default: return fail()
            }
        }

        private mutating func fail() -> (number: UInt64, value: Value)? {
            broken = true
            return nil
        }

        private mutating func varint() -> UInt64? {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while index < bytes.count, shift < 64 {
                let byte = bytes[index]
                index += 1
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            return nil
        }
    }

    // MARK: Writing

    private enum Kind: UInt64 {
        case varint = 0
        case bytes = 2
    }

    /// A tag and the number behind it: a value, or the length of what follows.
    private static func tag(_ field: UInt64, _ kind: Kind, _ value: UInt64, _ buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(field << 3 | kind.rawValue))
        var rest = value
        while rest >= 0x80 {
            buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        buffer.writeInteger(UInt8(rest))
    }

    private static func varintBytes(_ value: UInt64) -> Int { max(1, (64 - value.leadingZeroBitCount + 6) / 7) }
}
