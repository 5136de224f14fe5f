import Foundation
import RelayModel
import RelayWire
import SwiftProtobuf

extension WireDevice {
    /// An upgraded connection that speaks `relay.v1.proto`. Nothing of its mailbox has been read yet.
    package func connectBinary(cursor: UInt64? = nil) throws -> RawConnection {
        let connection = try RawConnection(port: port)
        let path = "/v1/connect" + (cursor.map { "?cursor=\($0)" } ?? "")
        let reply = try connection.upgrade(token: token, path: path, subprotocol: "relay.v1.proto")
        guard reply.status == 101 else { throw SupportFailure("the upgrade was answered with \(reply.status): \(reply.text)") }
        return connection
    }

    /// The one-to-one chat with another user.
    package func chat(with other: String) throws -> UInt64 {
        let reply = try RawConnection(port: port).json("POST", "/v1/chats", "{\"userId\": \"\(other)\"}", headers: authorization)
        struct Chat: Decodable { var chatId: String }
        guard reply.status == 200 || reply.status == 201, let chat = UInt64(try JSONDecoder().decode(Chat.self, from: Data(reply.body)).chatId)
        else { throw SupportFailure("opening a chat was answered with \(reply.status): \(reply.text)") }
        return chat
    }

    package var deviceNumber: UInt64 { UInt64(id) ?? 0 }
    package var userNumber: UInt64 { UInt64(user) ?? 0 }
}

extension RawConnection {
    /// The bytes of one masked binary frame with a `ClientFrame`.
    package static func bytes(_ frame: Relay_V1_ClientFrame) throws -> [UInt8] {
        RawConnection.frame(opcode: 2, try frame.serializedBytes(), key: [0, 0, 0, 0])
    }

    @discardableResult package func send(_ frame: Relay_V1_ClientFrame) throws -> Bool { send(try RawConnection.bytes(frame)) }

    package func acknowledge(_ mailboxSeq: UInt64) throws {
        var frame = Relay_V1_ClientFrame()
        frame.ack.mailboxSeq = mailboxSeq
        try send(frame)
    }

    /// The next `ServerFrame`; throws ``Ending/closed`` also for a close frame. Control frames are passed over.
    package func readServerFrame() throws -> Relay_V1_ServerFrame {
        while true {
            let frame = try readFrame()
            if frame.opcode == 8 { throw Ending.closed }
            if frame.opcode == 2 { return try Relay_V1_ServerFrame(serializedBytes: frame.payload) }
        }
    }

    /// Reads the mailbox, acknowledging as it goes, until `enough` says so after an envelope or, when it is nil, until the relay says that
    /// all has been sent.
    /// - Parameter acknowledging: without it the relay takes the device to have nothing of this, and sends no more than
    ///   ``Limits/unacknowledgedEnvelopes`` of it.
    package func drain(acknowledging: Bool = true, _ each: (Relay_V1_Envelope) throws -> Void, until enough: (() -> Bool)? = nil) throws {
        while true {
            let frame = try readServerFrame()
            if case .caughtUp = frame.kind, enough == nil { return }
            guard case .deliver(let deliver) = frame.kind else { continue }
            for envelope in deliver.envelopes { try each(envelope) }
            if acknowledging, let last = deliver.envelopes.last { try acknowledge(last.mailboxSeq) }
            if let enough, enough() { return }
        }
    }
}

extension Relay_V1_ClientFrame {
    /// A message for the devices given. Its wrapped keys are no keys: the relay does not look into them.
    package static func message(
        request: UInt64, chat: UInt64, clientMessageID: UInt64, body: [UInt8], devices: [WireDevice]
    ) -> Relay_V1_ClientFrame {
        var frame = Relay_V1_ClientFrame()
        frame.requestID = request
        frame.send.chatID = chat
        frame.send.clientMessageID = clientMessageID
        frame.send.body = Data(body)
        for user in Set(devices.map(\.userNumber)).sorted() {
            var member = Relay_V1_MemberKeys()
            member.userID = user
            for device in devices where device.userNumber == user {
                var wrapped = Relay_V1_WrappedKey()
                wrapped.deviceID = device.deviceNumber
                wrapped.key = Data(repeating: 9, count: 48)
                member.devices.append(wrapped)
            }
            frame.send.keys.append(member)
        }
        return frame
    }
}
