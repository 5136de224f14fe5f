import FoundationEssentials
import NIOCore
import RelayHTTP
import RelayModel
import RelayPresence
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
    case changeGroup(request: UInt64, CheckedGroupChange)
    case delete(request: UInt64, CheckedDelete)
    case contactsSeen(version: UInt64)
    case presence(request: UInt64, PresenceMode)
    /// One request is wrong; the connection goes on.
    case invalid(request: UInt64, WireFailure)
    /// The frame is no frame of the schema: nothing that follows can be trusted.
    case unreadable(WireFailure)
    /// A text message where binary ones were agreed, or the other way round.
    case wrongType

    init(_ message: WebSocketMessage, _ encoding: WireEncoding, maxBodyBytes: Int) {
        if case (.proto, .binary(let bytes)) = (encoding, message), let plain = ClientRequest(plain: bytes, maxBodyBytes: maxBodyBytes) {
            self = plain
        } else {
            self.init(any: message, encoding, maxBodyBytes: maxBodyBytes)
        }
    }

    /// Through SwiftProtobuf: both encodings, and whatever is wrong with a frame.
    init(any message: WebSocketMessage, _ encoding: WireEncoding, maxBodyBytes: Int) {
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
            case .groupChange(let change):
                self = .changeGroup(request: request, try CheckedGroupChange(change, maxBodyBytes: maxBodyBytes))
            case .delete(let delete): self = .delete(request: request, try CheckedDelete(delete))
            case .contactsSeen(let seen): self = .contactsSeen(version: try Checked.sequence(seen.version, "version"))
            case .presence(let presence):
                guard let mode = UInt8(exactly: presence.mode.rawValue).flatMap(PresenceMode.init) else {
                    throw .malformed("mode must be PRESENCE_MODE_LEAVE, PRESENCE_MODE_SHARE or PRESENCE_MODE_WATCH")
                }
                self = .presence(request: request, mode)
            case nil: throw WireFailure(.unknownKind, "the frame has no kind that this relay knows")
            }
        } catch {
            self = .invalid(request: request, error)
        }
    }
}
