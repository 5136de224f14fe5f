import FoundationEssentials
import NIOCore
import RelayHTTP
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf

/// The schema's two encodings, with their WebSocket subprotocols and media types.
enum WireEncoding: Sendable {
    case proto, json

    static let all: [WireEncoding] = [.proto, .json]

    var subprotocol: String {
        switch self {
        case .proto: "relay.v1.proto"
        case .json: "relay.v1.json"
        }
    }

    var mediaType: String {
        switch self {
        case .proto: "application/x-protobuf"
        case .json: "application/json"
        }
    }

    /// Unknown fields are ignored in both, so that newer clients can talk to older relays.
    func decode<Body: Message>(_ type: Body.Type, from bytes: ByteBuffer) throws -> Body {
        switch self {
        case .proto:
            return try Body(serializedBytes: ContiguousBytes(bytes))
        case .json:
            var options = JSONDecodingOptions()
            options.ignoreUnknownFields = true
            return try Body(jsonUTF8Bytes: ContiguousBytes(bytes), options: options)
        }
    }

    func encode(_ body: some Message) throws -> ByteBuffer {
        let bytes: ContiguousBytes
        switch self {
        case .proto: bytes = try body.serializedBytes()
        case .json: bytes = try body.jsonUTF8Bytes()
        }
        return bytes.buffer
    }
}

/// Lets SwiftProtobuf read from and write to a `ByteBuffer` without a copy.
struct ContiguousBytes: SwiftProtobufContiguousBytes {
    var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }
    init(repeating byte: UInt8, count: Int) { buffer = ByteBuffer(repeating: byte, count: count) }
    init<Bytes: Sequence>(_ bytes: Bytes) where Bytes.Element == UInt8 { buffer = ByteBuffer(bytes: bytes) }

    var count: Int { buffer.readableBytes }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result { try buffer.withUnsafeReadableBytes(body) }

    mutating func withUnsafeMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) rethrows -> Result {
        try buffer.withUnsafeMutableReadableBytes(body)
    }
}

/// What a client asks over its WebSocket, checked.
enum ClientRequest {
    case send(request: UInt64, CheckedSend)
    case acknowledge(mailboxSeq: UInt64)
    case read(request: UInt64, ChatID, chatSeq: UInt64)
    case ping(request: UInt64)
    /// One request is wrong; the connection goes on.
    case invalid(request: UInt64, WireFailure)
    /// The frame is no frame of the schema: nothing that follows can be trusted.
    case unreadable(WireFailure)
    /// A text message where binary ones were agreed, or the other way round.
    case wrongType

    init(_ message: WebSocketMessage, _ encoding: WireEncoding, maxBodyBytes: Int) {
        let frame: Relay_V1_ClientFrame
        do {
            switch (encoding, message) {
            case (.proto, .binary(let bytes)), (.json, .text(let bytes)): frame = try encoding.decode(Relay_V1_ClientFrame.self, from: bytes)
            default:
                self = .wrongType
                return
            }
        } catch {
            self = .unreadable(.malformed("the frame is not a relay.v1.ClientFrame"))
            return
        }
        let request = frame.requestID
        do throws(WireFailure) {
            switch frame.kind {
            case .send(let send): self = .send(request: request, try CheckedSend(send, maxBodyBytes: maxBodyBytes))
            case .ack(let ack): self = .acknowledge(mailboxSeq: try Checked.sequence(ack.mailboxSeq, "mailbox_seq"))
            case .read(let read):
                self = .read(request: request, try Checked.id(read.chatID, "chat_id"), chatSeq: try Checked.sequence(read.chatSeq, "chat_seq"))
            case .ping: self = .ping(request: request)
            case .groupChange, .delete, nil: throw WireFailure(.unknownKind, "the frame has no kind that this relay knows")
            }
        } catch {
            self = .invalid(request: request, error)
        }
    }
}

/// A `relay.v1.Send` whose form is right; whether it may be sent is the store's to say.
struct CheckedSend {
    var chat: ChatID
    var clientMessageID: UInt64
    var body: ByteBuffer
    var keys: [MemberKeys]

    init(_ wire: Relay_V1_Send, maxBodyBytes: Int) throws(WireFailure) {
        chat = try Checked.id(wire.chatID, "chat_id")
        clientMessageID = try Checked.sequence(wire.clientMessageID, "client_message_id")
        guard !wire.body.isEmpty else { throw .malformed("a message needs a body") }
        guard wire.body.count <= maxBodyBytes else {
            throw WireFailure(.tooLarge, "the body has \(wire.body.count) bytes, at most \(maxBodyBytes) are taken")
        }
        guard wire.keys.count <= Limits.chatMembers else { throw .malformed("keys for more than \(Limits.chatMembers) members") }
        body = ByteBuffer(bytes: wire.body)
        keys = []
        keys.reserveCapacity(wire.keys.count)
        var users = DuplicateFinder(expecting: wire.keys.count)
        for member in wire.keys {
            let user: UserID = try Checked.id(member.userID, "user_id")
            guard users.insert(member.userID) else { throw .malformed("a member is named twice") }
            guard member.devices.count <= Limits.devicesPerUserCeiling else {
                throw .malformed("keys for more than \(Limits.devicesPerUserCeiling) devices of a user")
            }
            var packed = PackedKeys()
            var devices = DuplicateFinder(expecting: member.devices.count)
            for wrapped in member.devices {
                let device: DeviceID = try Checked.id(wrapped.deviceID, "device_id")
                guard devices.insert(wrapped.deviceID) else { throw .malformed("a device is named twice") }
                guard !wrapped.key.isEmpty, wrapped.key.count <= Limits.wrappedKeyBytes else {
                    throw .malformed("a wrapped key has 1 to \(Limits.wrappedKeyBytes) bytes")
                }
                packed.append(device, key: wrapped.key)
            }
            keys.append(MemberKeys(user: user, keys: packed))
        }
    }
}

/// Finds a repeated number: by comparing while there are few, as nearly always, otherwise with a set.
private struct DuplicateFinder {
    private var few: [UInt64] = []
    private var many: Set<UInt64>?

    init(expecting count: Int) {
        if count > 16 {
            many = Set(minimumCapacity: count)
        } else {
            few.reserveCapacity(count)
        }
    }

    mutating func insert(_ number: UInt64) -> Bool {
        if many != nil { return many?.insert(number).inserted ?? false }
        guard !few.contains(number) else { return false }
        few.append(number)
        return true
    }
}

/// Checks of single numbers: the store's integers have 63 bits.
enum Checked {
    static func id<ID: RelayIdentifier>(_ number: UInt64, _ field: StaticString) throws(WireFailure) -> ID {
        guard number > 0, number <= UInt64(Int64.max) else { throw .malformed("\(field) must be a positive 63-bit number") }
        return ID(rawValue: number)
    }

    static func sequence(_ number: UInt64, _ field: StaticString) throws(WireFailure) -> UInt64 {
        guard number > 0, number <= UInt64(Int64.max) else { throw .malformed("\(field) must be a positive 63-bit number") }
        return number
    }
}
