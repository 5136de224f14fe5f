import FoundationEssentials
import NIOCore
import RelayHTTP
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf

@testable import RelayGateway

/// What a client sends over its WebSocket, in protobuf, through the gateway's own decoding.
struct ProtobufRequestTarget: FuzzTarget {
    static let name = "request-protobuf"
    func corpus() throws -> [(name: String, bytes: [UInt8])] { try RequestCase.frames().map { ($0.name, try $0.frame.serializedBytes()) } }
    func run(_ input: [UInt8]) throws { try RequestCase.run(.binary(ByteBuffer(bytes: input)), .proto, input) }
}

/// The same in JSON.
struct JSONRequestTarget: FuzzTarget {
    static let name = "request-json"
    func corpus() throws -> [(name: String, bytes: [UInt8])] { try RequestCase.frames().map { ($0.name, try $0.frame.jsonUTF8Bytes()) } }
    func run(_ input: [UInt8]) throws { try RequestCase.run(.text(ByteBuffer(bytes: input)), .json, input) }
}

private enum RequestCase {
    static let maxBodyBytes = 4096

    static func run(_ message: WebSocketMessage, _ encoding: WireEncoding, _ input: [UInt8]) throws {
        let request = ClientRequest(message, encoding, maxBodyBytes: maxBodyBytes)
        if case .wrongType = request { throw Finding("the message is of the type that was agreed") }
        if let broken = brokenBound(request) { throw Finding(broken) }
        if let difference = difference(request, library(input, encoding)) { throw Finding(difference) }
    }

    /// The frame as SwiftProtobuf reads it; nil when it does not.
    static func library(_ input: [UInt8], _ encoding: WireEncoding) -> Relay_V1_ClientFrame? {
        switch encoding {
        case .proto: return try? Relay_V1_ClientFrame(serializedBytes: input)
        case .json:
            var options = JSONDecodingOptions()
            options.ignoreUnknownFields = true
            return try? Relay_V1_ClientFrame(jsonUTF8Bytes: input, options: options)
        }
    }

    /// What a checked request may contain.
    static func brokenBound(_ request: ClientRequest) -> String? {
        guard case .send(_, let send) = request else { return nil }
        guard (1...maxBodyBytes).contains(send.body.readableBytes) else { return "a body of \(send.body.readableBytes) bytes passed" }
        guard send.chat.rawValue > 0, send.chat.rawValue <= UInt64(Int64.max) else { return "chat \(send.chat) passed" }
        guard send.clientMessageID > 0, send.clientMessageID <= UInt64(Int64.max) else { return "client message id \(send.clientMessageID) passed" }
        guard send.keys.count <= Limits.chatMembers else { return "keys for \(send.keys.count) members passed" }
        guard Set(send.keys.map(\.user)).count == send.keys.count else { return "a member passed twice" }
        for member in send.keys {
            let devices = member.keys.devices
            guard devices.count <= Limits.devicesPerUserCeiling, Set(devices).count == devices.count else { return "devices \(devices) passed" }
            guard devices.allSatisfy({ (1...Limits.wrappedKeyBytes).contains(member.keys.key(for: $0)?.readableBytes ?? 0) }) else {
                return "a key of a wrong length passed"
            }
        }
        return nil
    }

    private struct Keys: Equatable {
        var user: UInt64
        var devices: [UInt64]
        var keys: [[UInt8]]
    }

    /// Where the gateway understood something else than the library. The library decides what the bytes mean; the gateway may refuse more.
    /// Every other decoder of the same bytes is compared here.
    static func difference(_ request: ClientRequest, _ frame: Relay_V1_ClientFrame?) -> String? {
        guard let frame else {
            if case .unreadable = request { return nil }
            return "the gateway reads what the library does not"
        }
        if case .unreadable = request { return "the library reads what the gateway does not" }
        func same(_ number: UInt64, _ matches: Bool) -> String? {
            number == frame.requestID && matches ? nil : "the gateway reads \(request), the library \(frame)"
        }
        if case .invalid(let number, _) = request { return same(number, true) }
        if case .send(let number, let send) = request {
            let wire = frame.send
            let keys = wire.keys.map { Keys(user: $0.userID, devices: $0.devices.map(\.deviceID), keys: $0.devices.map { Array($0.key) }) }
            let read = send.keys.map { member in
                let devices = member.keys.devices
                return Keys(
                    user: member.user.rawValue, devices: devices.map(\.rawValue),
                    keys: devices.map { device in member.keys.key(for: device).map { Array($0.readableBytesView) } ?? [] })
            }
            return same(
                number,
                frame.kind == .send(wire) && send.chat.rawValue == wire.chatID && send.clientMessageID == wire.clientMessageID
                    && Array(send.body.readableBytesView) == Array(wire.body) && read == keys)
        }
        if case .acknowledge(let mailboxSeq) = request {
            return frame.kind == .ack(frame.ack) && frame.ack.mailboxSeq == mailboxSeq ? nil : "an acknowledgement of \(mailboxSeq)"
        }
        if case .read(let number, let chat, let chatSeq) = request {
            return same(number, frame.kind == .read(frame.read) && frame.read.chatID == chat.rawValue && frame.read.chatSeq == chatSeq)
        }
        if case .ping(let number) = request { return same(number, frame.kind == .ping(frame.ping)) }
        return nil
    }

    /// A frame of every kind.
    static func frames() -> [(name: String, frame: Relay_V1_ClientFrame)] {
        func frame(_ request: UInt64, _ kind: Relay_V1_ClientFrame.OneOf_Kind?) -> Relay_V1_ClientFrame {
            var frame = Relay_V1_ClientFrame()
            frame.requestID = request
            frame.kind = kind
            return frame
        }
        func keys(_ users: Int, _ devices: Int) -> [Relay_V1_MemberKeys] {
            (0..<users).map { user in
                var member = Relay_V1_MemberKeys()
                member.userID = 1 << 60 + UInt64(user)
                member.devices = (0..<devices).map { device in
                    var wrapped = Relay_V1_WrappedKey()
                    wrapped.deviceID = 1 << 61 + UInt64(user * 100 + device)
                    wrapped.key = Data(repeating: UInt8(truncatingIfNeeded: device), count: 48)
                    wrapped.keyVersion = UInt32(device)
                    return wrapped
                }
                return member
            }
        }
        func send(_ body: Int, _ users: Int, _ devices: Int) -> Relay_V1_Send {
            var send = Relay_V1_Send()
            send.chatID = 1 << 60
            send.clientMessageID = 4711
            send.body = Data((0..<body).map { UInt8(truncatingIfNeeded: $0) })
            send.keys = keys(users, devices)
            return send
        }
        var ack = Relay_V1_Ack()
        ack.mailboxSeq = 12_345_678
        var read = Relay_V1_Read()
        read.chatID = 99
        read.chatSeq = 100
        var change = Relay_V1_GroupChange()
        change.chatID = 5
        change.clientMessageID = 4712
        change.action = .add
        change.userIds = [3, 1 << 62]
        change.role = .admin
        change.body = Data("title".utf8)
        change.keys = keys(2, 1)
        var delete = Relay_V1_Delete()
        delete.chatID = 5
        delete.clientMessageID = 4713
        delete.chatSeqs = [1, 2, 300, 1 << 40]
        delete.forEveryone = true
        return [
            ("send", frame(7, .send(send(200, 2, 2)))), ("send-small", frame(1, .send(send(1, 1, 1)))),
            ("send-many", frame(8, .send(send(1000, 20, 5)))), ("send-largest", frame(9, .send(send(maxBodyBytes, 2, 1)))),
            ("send-no-keys", frame(9, .send(send(10, 0, 0)))), ("ack", frame(0, .ack(ack))), ("read", frame(3, .read(read))),
            ("ping", frame(.max, .ping(Relay_V1_Ping()))), ("group-change", frame(4, .groupChange(change))), ("delete", frame(5, .delete(delete))),
            ("nothing", frame(6, nil)),
        ]
    }
}
