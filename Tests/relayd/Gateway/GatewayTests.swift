import Foundation
import NIOCore
import NIOHTTP1
import RelayDirectory
import RelayHTTP
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayGateway

private func send(_ chat: Relay_V1_Chat, _ number: UInt64, _ body: [UInt8], request: UInt64 = 1) -> Relay_V1_ClientFrame {
    var frame = Relay_V1_ClientFrame()
    frame.requestID = request
    frame.send.chatID = chat.chatID
    frame.send.clientMessageID = number
    frame.send.body = Data(body)
    frame.send.keys = chat.members.map { member in
        var keys = Relay_V1_MemberKeys()
        keys.userID = member.userID
        keys.devices = member.devices.map { device in
            var key = Relay_V1_WrappedKey()
            key.deviceID = device.deviceID
            key.key = Data([UInt8](repeating: UInt8(truncatingIfNeeded: device.deviceID), count: 48))
            return key
        }
        return keys
    }
    return frame
}

@Suite(.timeLimit(.minutes(10))) struct GatewayTests {
    @Test func aMessageGoesAllTheWay() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            let chat = try await relay.openChat(alice, bob)
            #expect(Set(chat.members.map(\.userID)) == [alice.user.rawValue, bob.user.rawValue])
            #expect(chat.members.allSatisfy { $0.devices.count == 1 && $0.devices[0].keys.identityKey.count == 32 })

            let from = try await relay.connect(alice)
            let to = try await relay.connect(bob, subprotocol: "relay.v1.json")
            _ = try await to.frame { if case .caughtUp = $0.kind { true } else { false } }
            try from.send(send(chat, 1, [1, 2, 3], request: 77))
            let sent = try await from.frame { $0.requestID == 77 }.sent
            #expect(sent.chatID == chat.chatID && sent.clientMessageID == 1 && sent.chatSeq == 1 && sent.messageID > 0)
            let envelope = try await to.frame { !$0.deliver.envelopes.isEmpty }.deliver.envelopes[0]
            #expect(envelope.body == Data([1, 2, 3]) && envelope.senderUserID == alice.user.rawValue && envelope.messageID == sent.messageID)
            #expect(envelope.key == Data([UInt8](repeating: UInt8(truncatingIfNeeded: bob.id.rawValue), count: 48)))

            try to.send(.ack(envelope.mailboxSeq), json: true)
            let delivered = try await from.frame { $0.receipts.receipts.contains { $0.deliveredSeq == 1 } }
            #expect(delivered.receipts.receipts.contains { $0.userID == bob.user.rawValue && $0.readSeq == 0 })
            var read = Relay_V1_ClientFrame()
            read.requestID = 5
            read.read.chatID = chat.chatID
            read.read.chatSeq = 1
            try to.send(read, json: true)
            _ = try await to.frame { $0.requestID == 5 && $0.kind != nil }
            _ = try await from.frame { $0.receipts.receipts.contains { $0.readSeq == 1 } }

            // The same over REST.
            let path = "/v1/chats/\(chat.chatID)"
            let status: Relay_V1_MessageStatus = try await relay.call(.GET, "\(path)/messages/1/status", token: alice.token)
            #expect(status.sent == sent && status.receipts.contains { $0.userID == bob.user.rawValue && $0.readSeq == 1 })
            let again: Relay_V1_Sent = try await relay.call(.POST, "\(path)/messages", send(chat, 1, [1, 2, 3]).send, token: alice.token)
            #expect(again == sent)
            let second: Relay_V1_Sent = try await relay.call(.POST, "\(path)/messages", send(chat, 2, [4]).send, token: alice.token)
            #expect(second.chatSeq == 2)
            let history: Relay_V1_MessagesPage = try await relay.call(.GET, "\(path)/messages?after=0&pageSize=1", token: bob.token)
            #expect(history.messages.map(\.body) == [Data([1, 2, 3])] && history.isDeltaUpdate)
            #expect(history.messages[0].key == envelope.key)
            let list: Relay_V1_ConversationsPage = try await relay.call(.GET, "/v1/chats", token: bob.token)
            #expect(list.conversations.map(\.chatID) == [chat.chatID] && list.conversations[0].lastMessage.body == Data([4]))
            let receipts: Relay_V1_Receipts = try await relay.call(.GET, "\(path)/receipts", token: alice.token)
            #expect(receipts.receipts.contains { $0.userID == bob.user.rawValue && $0.readSeq == 1 })
            let same: Relay_V1_Chat = try await relay.call(.GET, path, token: bob.token)
            #expect(same.chatID == chat.chatID && same.members.count == 2)
            let byName: Relay_V1_User = try await relay.call(.GET, "/v1/users?name=bob", token: alice.token)
            let byID: Relay_V1_User = try await relay.call(.GET, "/v1/users/\(bob.user)", token: alice.token)
            #expect(byName == byID && byName.name == "bob")
        }
    }

    @Test func whatAnybodyMayAsk() async throws {
        try await RunningGateway.run { relay, _ in
            let info: Relay_V1_Info = try await relay.call(.GET, "/v1/info")
            #expect(info.version == "test" && info.maxBodyBytes == UInt32(Limits.bodyBytes))
            let assignment: Relay_V1_Assignment = try await relay.call(.GET, "/v1/assignment")
            #expect(assignment.slots == 1024 && assignment.hosts.map(\.ranges) == [[0, 1023]] && assignment.version == 1)
            let page = try await relay.http.request(.GET, "/enrol")
            #expect(page.status == 200 && String(decoding: page.body, as: UTF8.self).contains("Copy the whole link"))
            let binary = try await relay.http.request(.GET, "/v1/info", headers: [("Accept", "application/x-protobuf")])
            #expect(binary.headers.first(name: "content-type") == "application/x-protobuf")
            #expect(try Relay_V1_Info(serializedBytes: binary.body).version == "test")
        }
    }

    /// Revocation ends a connection; the end of the token that opened it does not.
    @Test func aConnectionOutlivesItsToken() async throws {
        try await RunningGateway.run { relay, _ in
            let connection = try await relay.connect(try await relay.addUser("alice"))
            relay.clock.advance(by: Limits.tokenLifetime + .seconds(1))
            try connection.send(.ping(1))
            _ = try await connection.frame { $0.requestID == 1 }
        }
    }

    @Test func aCursorAheadOfTheMailboxIsRefused() async throws {
        try await RunningGateway.run { relay, _ in
            let connection = try await relay.connect(try await relay.addUser("alice"), query: "?cursor=9223372036854775807")
            #expect(await connection.closeCode() == 4410)
        }
    }

    @Test func aSilentClientIsPingedThenClosed() async throws {
        try await RunningGateway.run {
            $0.pingInterval = .milliseconds(50)
        } _: { relay, _ in
            let connection = try await relay.connect(try await relay.addUser("alice"))
            var pings = 0
            while let event = await connection.event() {
                if case .ping = event { pings += 1 }
                if case .close(let code, _) = event { #expect(code == 4408) }
            }
            #expect(pings == 1)
        }
    }

    @Test func aStoppingGatewaySaysSo() async throws {
        try await RunningGateway.run { relay, stop in
            let device = try await relay.addUser("alice")
            let alice = try await relay.connect(device)
            let bob = try await relay.connect(try await relay.addUser("bob"))
            await stop()
            for connection in [alice, bob] {
                var last: WebSocketParser.Event?
                while let event = await connection.event() { last = event }
                #expect(last == .close(code: 1012, reason: "restarting"))
            }
            // The whole handshake, because the freed port may be somebody else's by now.
            await #expect(throws: (any Error).self) { _ = try await relay.connect(device) }
        }
    }

    @Test func aRevokedDeviceLosesItsConnection() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let connection = try await relay.connect(alice)
            _ = try await relay.directory.revokeDevice(alice.id, actor: Actor(uid: 0, operation: "device/revoke", subject: "\(alice.id)"))
            #expect(await connection.closeCode() == 4403)
        }
    }

    @Test func aSecondConnectionReplacesTheFirst() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let first = try await relay.connect(alice)
            let second = try await relay.connect(alice)
            #expect(await first.closeCode() == 4409)
            try second.send(.ping(3))
            _ = try await second.frame { $0.requestID == 3 }
        }
    }

    @Test func aSlowReaderGetsEverythingInOrder() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            let chat = try await relay.openChat(alice, bob)
            let from = try await relay.connect(alice)
            let to = try await relay.connect(bob)
            try await to.channel.setOption(.autoRead, value: false).get()
            let count: UInt64 = 400
            for number in 1...count { try from.send(send(chat, number, [UInt8](repeating: UInt8(number & 255), count: 16_000), request: number)) }
            var answered: UInt64 = 0
            while answered < count { if try await from.frame().requestID != 0 { answered += 1 } }
            try await to.channel.setOption(.autoRead, value: true).get()
            var next: UInt64 = 1
            while next <= count {
                for envelope in try await to.frame().deliver.envelopes {
                    #expect(envelope.clientMessageID == next && envelope.body.first == UInt8(next & 255))
                    next += 1
                    try to.send(.ack(envelope.mailboxSeq))
                }
            }
        }
    }

    @Test func aFrameRightBehindTheHandshakeIsNotLost() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let connection = try await RawConnection.open(port: relay.port)
            var bytes = ByteBuffer(string: Handshake(token: alice.token).text)
            let ping: [UInt8] = try Relay_V1_ClientFrame.ping(9).serializedBytes()
            WebSocketFrames.write(.binary, payload: ByteBuffer(bytes: ping), mask: 7, into: &bytes)
            connection.send(Array(bytes.readableBytesView))
            #expect(try await connection.replyHead().status == 101)
            _ = try await connection.frame { $0.requestID == 9 }
        }
    }
}
