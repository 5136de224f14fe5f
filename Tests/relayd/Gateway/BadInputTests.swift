import Foundation
import NIOCore
import NIOHTTP1
import RelayDirectory
import RelayHTTP
import RelayModel
import RelayTestSupport
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayGateway

@Suite(.timeLimit(.minutes(10))) struct BadInputTests {
    // MARK: The handshake

    @Test func refusedUpgrades() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let token = alice.token
            let cases: [(Handshake, Int, ErrorCode)] = [
                (Handshake(), 401, .unauthorized), (Handshake(token: "x"), 401, .unauthorized), (Handshake(token: token + "x"), 401, .unauthorized),
                (Handshake(token: String(token.reversed())), 401, .unauthorized), (Handshake(token: ""), 401, .unauthorized),
                (Handshake(token: token, version: "8"), 426, .upgradeRequired), (Handshake(token: token, upgrade: "h2c"), 426, .upgradeRequired),
                (Handshake(token: token, key: "short"), 426, .upgradeRequired), (Handshake(token: token, query: "?cursor=x"), 400, .malformed),
                (Handshake(token: token, query: "?cursor=-1"), 400, .malformed),
                (Handshake(token: token, query: "?receipts=9223372036854775808"), 400, .malformed),
                (Handshake(token: token, subprotocol: "chat"), 400, .malformed),
                (Handshake(method: "POST", token: token), 405, .methodNotAllowed), (Handshake(path: "/v1/elsewhere", token: token), 404, .notFound),
                (Handshake(path: "/", token: token), 404, .notFound),
            ]
            for (handshake, status, code) in cases {
                let connection = try await RawConnection.open(port: relay.port)
                connection.send(text: handshake.text)
                let failure = try await connection.failure()
                #expect(failure.status == status && failure.error.code == code.rawValue, "\(handshake)")
                #expect(!failure.error.hint.isEmpty && !failure.error.message.isEmpty)
                #expect(failure.head.headers["connection"] == "close")
                #expect(await connection.endsNow())
            }
            relay.clock.advance(by: Limits.tokenLifetime + .seconds(1))
            let connection = try await RawConnection.open(port: relay.port)
            connection.send(text: Handshake(token: token).text)
            #expect(try await connection.failure().error.code == ErrorCode.tokenExpired.rawValue)
        }
    }

    @Test func aPlainRequestToTheWebSocketPath() async throws {
        try await RunningGateway.run { relay, _ in
            #expect(try await relay.http.request(.HEAD, "/v1/connect").status == 405)
            let reply = try await relay.http.request(.GET, "/v1/connect")
            #expect(reply.status == 426 && reply.headers.first(name: "upgrade") == "websocket")
            #expect(try Relay_V1_Error(jsonUTF8Bytes: reply.body).code == "upgrade_required")
        }
    }

    @Test func slowHeads() async throws {
        try await RunningGateway.run {
            $0.requestHeadTimeout = .milliseconds(200)
        } _: { relay, _ in
            for beginning in ["", "GET /v1/info HTTP/1.1\r\n", "GET /v1/connect HTTP/1.1\r\nHost: relay.test\r\nUpgrade: websocket\r\nX"] {
                let connection = try await RawConnection.open(port: relay.port)
                connection.send(text: beginning)
                let failure = try await connection.failure()
                #expect(failure.status == 408 && failure.error.code == "timeout")
                #expect(await connection.endsNow())
            }
            // On a busy machine even a whole head may come too late, now and then.
            var info: Relay_V1_Info?
            while info == nil {
                do { info = try await relay.call(.GET, "/v1/info") } catch let failure as RunningGateway.Failure where failure.status == 408 {}
            }
            #expect(info?.version == "test")
        }
    }

    /// Opens a connection and asks for something; nil when the relay ends it without an answer.
    private func answered(_ relay: RunningGateway) async throws -> RawConnection? {
        do {
            let connection = try await RawConnection.open(port: relay.port)
            connection.send(text: "GET /v1/info HTTP/1.1\r\nHost: relay.test\r\n\r\n")
            #expect(try await connection.replyHead().status == 200)
            return connection
        } catch is RawConnection.Ended { return nil } catch is IOError { return nil }
    }

    @Test func aFloodOfConnections() async throws {
        try await RunningGateway.run {
            $0.httpConnections = 8
        } _: { relay, _ in
            // A WebSocket is none of them: it stays, whoever else comes.
            let alice = try await relay.addUser("alice")
            let webSocket = try await relay.connect(alice)
            _ = try await webSocket.frame { if case .caughtUp = $0.kind { true } else { false } }
            var open: [RawConnection] = []
            while let connection = try await answered(relay) { open.append(connection) }
            // The client that added alice may hold one.
            #expect((7...8).contains(open.count))
            #expect(try await answered(relay) == nil)
            try webSocket.send(.ping(7))
            _ = try await webSocket.frame { $0.requestID == 7 }
            // Each that ends makes room for one, as soon as the relay has seen its end.
            open.removeLast().close()
            while try await answered(relay) == nil {}
        }
    }

    @Test func connectionsBeyondTheDescriptorsWait() async throws {
        try await RunningGateway.run {
            $0.connections = 2
        } _: { relay, _ in
            var open: [RawConnection] = []
            for _ in 0..<16 {
                let connection = try await RawConnection.open(port: relay.port)
                connection.send(text: "GET /v1/info HTTP/1.1\r\nHost: relay.test\r\n\r\n")
                open.append(connection)
            }
            for connection in open {
                #expect(try await connection.replyHead().status == 200)
                connection.close()
            }
        }
    }

    @Test func aBodyThatNeverComes() async throws {
        try await RunningGateway.run {
            $0.requestBodyTimeout = .milliseconds(200)
        } _: { relay, _ in
            let connection = try await RawConnection.open(port: relay.port)
            connection.send(text: "POST /v1/enrol HTTP/1.1\r\nHost: relay.test\r\nContent-Length: 100\r\n\r\n{")
            #expect(await connection.endsNow())
        }
    }

    /// A handshake that announces a body, by somebody who may connect.
    @Test(.timeLimit(.minutes(10))) func anUpgradeWhoseBodyNeverComes() async throws {
        func begin(_ relay: RunningGateway, _ token: String) async throws -> RawConnection {
            let connection = try await RawConnection.open(port: relay.port)
            connection.send(text: Handshake(token: token).text.replacing("\r\n\r\n", with: "\r\nContent-Length: 1\r\n\r\n"))
            return connection
        }
        try await RunningGateway.run {
            // Enough for the requests before it on a busy machine.
            $0.requestHeadTimeout = .seconds(3)
        } _: { relay, _ in
            let connection = try await begin(relay, try await relay.addUser("alice").token)
            let failure = try await connection.failure()
            #expect(failure.status == 408 && failure.error.code == "timeout")
            #expect(await connection.endsNow())
        }
        // Nor does it hold up the end.
        try await RunningGateway.run { relay, stop in
            let connection = try await begin(relay, try await relay.addUser("alice").token)
            // By then the other one's head has been read.
            _ = try await relay.call(.GET, "/v1/info") as Relay_V1_Info
            await stop()
            #expect(await connection.endsNow())
        }
    }

    /// It would have its place for ever: the next answer waits until the socket takes it.
    @Test(.timeLimit(.minutes(10))) func whoAsksAndDoesNotReadIsNotWaitedFor() async throws {
        try await RunningGateway.run {
            $0.requestBodyTimeout = .milliseconds(200)
        } _: { relay, _ in
            let port = relay.port
            let hungUp = try await blocking {
                let connection = try RelayTestSupport.RawConnection(port: port)
                connection.send(String(repeating: "GET /v1/info HTTP/1.1\r\nHost: relay.test\r\n\r\n", count: 20_000))
                return connection.hangsUp(within: 120)
            }
            #expect(hungUp)
        }
    }

    @Test(arguments: [
        "\0\u{1}\u{2}nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nA B: c\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\0",
    ])
    func notHTTP(text: String) async throws {
        try await RunningGateway.run { relay, _ in
            let connection = try await RawConnection.open(port: relay.port)
            connection.send(text: text)
            let failure = try await connection.failure()
            #expect(failure.status == 400 && failure.error.code == "malformed")
            #expect(await connection.endsNow())
        }
    }

    @Test func headsHaveBounds() async throws {
        try await RunningGateway.run { relay, _ in
            let connection = try await RawConnection.open(port: relay.port)
            connection.send(
                text: "GET /v1/info HTTP/1.1\r\nHost: relay.test\r\nX: " + String(repeating: "a", count: 3 * Limits.headerFieldBytes) + "\r\n\r\n")
            #expect(try await connection.failure().status == 400)
        }
    }

    // MARK: REST

    @Test func badBodies() async throws {
        try await RunningGateway.run { relay, _ in
            let token = try await relay.addUser("alice").token
            func code(
                _ method: HTTPMethod, _ path: String, _ body: [UInt8]? = nil, type: String = "application/json", token: String? = nil
            ) async throws -> String {
                var headers = [("Content-Type", type), ("Accept", "application/json")]
                if let token { headers.append(("Authorization", "Bearer \(token)")) }
                let reply = try await relay.http.request(method, path, headers: headers, body: body)
                #expect(reply.headers["Cache-Control"] == ["no-store"] && reply.headers["X-Content-Type-Options"] == ["nosniff"])
                let error = try Relay_V1_Error(jsonUTF8Bytes: reply.body)
                #expect(ErrorCode(rawValue: error.code)?.httpStatus == reply.status)
                return error.code
            }
            func json(_ text: String) -> [UInt8] { Array(text.utf8) }
            #expect(try await code(.POST, "/v1/enrol", json("{")) == "malformed")
            #expect(try await code(.POST, "/v1/enrol", json("[]")) == "malformed")
            #expect(try await code(.POST, "/v1/enrol", json(#"{"keys": 7}"#)) == "malformed")
            #expect(try await code(.POST, "/v1/enrol", [0x7B, 0xFF, 0x7D]) == "malformed")
            #expect(try await code(.POST, "/v1/enrol", json("x"), type: "text/plain") == "malformed")
            #expect(try await code(.POST, "/v1/enrol", [0x0A, 0xFF], type: "application/x-protobuf") == "malformed")
            #expect(try await code(.POST, "/v1/enrol", [UInt8](repeating: 32, count: Limits.restBodyBytes + 1)) == "too_large")
            #expect(try await code(.POST, "/v1/auth/challenge", json("{}")) == "malformed")
            #expect(try await code(.POST, "/v1/auth/challenge", json(#"{"deviceId": "9223372036854775808"}"#)) == "malformed")
            #expect(try await code(.POST, "/v1/auth/token", json(#"{"deviceId": "5", "challenge": "AAAA", "signature": "AAAA"}"#)) != "internal")
            #expect(try await code(.GET, "/v1/users?name=bob") == "unauthorized")
            #expect(try await code(.GET, "/v1/users?name=bob", token: token) == "user_unknown")
            #expect(try await code(.GET, "/v1/users?name=%20", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/users", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/users/0", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/users/7", token: token) == "user_unknown")
            #expect(try await code(.POST, "/v1/chats", json(#"{"userId": "7"}"#), token: token) == "user_unknown")
            #expect(try await code(.GET, "/v1/chats?pageSize=0", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/chats?pageSize=501", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/chats?since=x", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/chats/7", token: token) == "chat_unknown")
            #expect(try await code(.GET, "/v1/chats/x/messages", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/chats/7/messages?after=1&before=2", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/chats/7/messages", token: token) == "chat_unknown")
            #expect(try await code(.GET, "/v1/chats/7/messages/0/status", token: token) == "malformed")
            #expect(try await code(.GET, "/v1/chats/7/messages/1/status", token: token) == "chat_unknown")
            #expect(try await code(.POST, "/v1/chats/7/messages", json(#"{"chatId": "8"}"#), token: token) == "malformed")
            #expect(
                try await code(.POST, "/v1/chats/7/messages", json(#"{"clientMessageId": "1", "body": "AAAA"}"#), token: token) == "chat_unknown")
            #expect(try await code(.DELETE, "/v1/chats/7", token: token) == "method_not_allowed")
            #expect(try await code(.GET, "/v2/chats", token: token) == "not_found")
            // A sealed body over the bound, inside a frame that is not.
            let large = Data(repeating: 1, count: Limits.bodyBytes + 1).base64EncodedString()
            #expect(
                try await code(.POST, "/v1/chats/7/messages", json(#"{"clientMessageId": "1", "body": "\#(large)"}"#), token: token) == "too_large")
        }
    }

    // MARK: Frames

    @Test func framesThatEndTheConnection() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let bystander = try await relay.connect(try await relay.addUser("bystander"))
            func expect(_ code: UInt16?, json: Bool = false, _ act: (RawConnection) async throws -> Void) async throws {
                let connection = try await relay.connect(alice, subprotocol: json ? "relay.v1.json" : "relay.v1.proto")
                try await act(connection)
                #expect(await connection.closeCode() == code)
                #expect(await connection.event() == nil)
            }
            // Unmasked, reserved bits, unknown opcodes, broken fragmentation, fragmented control frames, close codes that must not travel.
            try await expect(1002) { $0.send([0x82, 0x01, 0x00]) }
            try await expect(1002) { $0.send([0xC2, 0x80, 0, 0, 0, 0]) }
            try await expect(1002) { $0.send([0x83, 0x80, 0, 0, 0, 0]) }
            try await expect(1002) { $0.send(opcode: .continuation, [1]) }
            try await expect(1002) {
                $0.send(opcode: .binary, [1], fin: false)
                $0.send(opcode: .binary, [1])
            }
            try await expect(1002) { $0.send(opcode: .ping, [1], fin: false) }
            try await expect(1002) { $0.send(opcode: .close, [0x03, 0xED]) }
            try await expect(1007) { $0.send(opcode: .close, [0x03, 0xE8, 0xFF]) }
            // Text where binary was agreed, and the other way round; text that is no text.
            try await expect(1003) { $0.send(opcode: .text, Array("{}".utf8)) }
            try await expect(1003, json: true) { $0.send(opcode: .binary, [0x08, 0x01]) }
            try await expect(1007, json: true) { $0.send(opcode: .text, [0x7B, 0xC3, 0x28, 0x7D]) }
            // Too large: judged from the header.
            try await expect(1009) { $0.send([0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]) }
            // An orderly end.
            try await expect(1000) { $0.send(opcode: .close, [0x03, 0xE8]) }
            try await expect(1000) { $0.send(opcode: .close, []) }
            // What is well-framed but not the schema gets a typed error first.
            for (json, payload) in [
                (false, [0xFF, 0xFF]), (true, Array("{".utf8)), (true, Array("[1]".utf8)), (true, Array(#"{"send": {"body": 3}}"#.utf8)),
            ] as [(Bool, [UInt8])] {
                try await expect(1007, json: json) { connection in
                    connection.send(opcode: json ? .text : .binary, payload)
                    let error = try await connection.frame { !$0.error.code.isEmpty }.error
                    #expect(error.code == "malformed" && !error.message.isEmpty && !error.hint.isEmpty)
                }
            }
            // A frame that ends in the middle.
            let cut = try await relay.connect(alice)
            cut.send([0x82, 0xFE, 0x10, 0x00, 1, 2, 3, 4, 5])
            cut.close()
            try bystander.send(.ping(1))
            _ = try await bystander.frame { $0.requestID == 1 }
        }
    }

    @Test func framesThatDoNot() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let connection = try await relay.connect(alice, subprotocol: "relay.v1.json")
            // A kind of the future, an empty frame, unknown fields.
            connection.send(opcode: .text, Array(#"{"requestId": "1", "levitate": {}}"#.utf8))
            #expect(try await connection.frame { $0.requestID == 1 }.error.code == "unknown_kind")
            connection.send(opcode: .text, Array(#"{"requestId": "2"}"#.utf8))
            #expect(try await connection.frame { $0.requestID == 2 }.error.code == "unknown_kind")
            connection.send(opcode: .text, Array(#"{"requestId": "3", "ping": {"color": "blue"}}"#.utf8))
            #expect(try await connection.frame { $0.requestID == 3 }.pong == Relay_V1_Pong())
            // A message in fragments, byte by byte, a ping in the middle.
            let text = Array(#"{"requestId": "4", "ping": {}}"#.utf8)
            for (index, byte) in text.enumerated() {
                connection.send(opcode: index == 0 ? .text : .continuation, [byte], fin: index == text.count - 1)
                if index == 5 { connection.send(opcode: .ping, [42]) }
            }
            var pong = false
            loop: while let event = await connection.event() {
                switch event {
                case .pong(let payload): pong = payload == ByteBuffer(bytes: [42])
                case .message(.text(let bytes)) where String(buffer: bytes).contains(#""4""#): break loop
                default: break
                }
            }
            #expect(pong)
            // Requests of the right shape with wrong values.
            for (number, request) in [
                #""ack": {}"#, #""read": {"chatId": "0", "chatSeq": "1"}"#, #""send": {"chatId": "1", "clientMessageId": "1"}"#,
                #""send": {"chatId": "1", "clientMessageId": "1", "body": "AA==", "keys": [{"userId": "1"}, {"userId": "1"}]}"#,
                #""send": {"chatId": "1", "clientMessageId": "1", "body": "AA==", "keys": [{"userId": "1", "devices": [{"deviceId": "1"}]}]}"#,
            ].enumerated() {
                connection.send(opcode: .text, Array(#"{"requestId": "\#(number + 100)", \#(request)}"#.utf8))
                let error = try await connection.frame { $0.requestID == UInt64(number + 100) }.error
                #expect(error.code == "malformed" && !error.message.isEmpty && !error.hint.isEmpty)
            }
            // A body over the bound in a frame that is not.
            let large = Data(repeating: 0, count: Limits.bodyBytes + 1).base64EncodedString()
            connection.send(
                opcode: .text, Array(#"{"requestId": "200", "send": {"chatId": "1", "clientMessageId": "1", "body": "\#(large)"}}"#.utf8))
            #expect(try await connection.frame { $0.requestID == 200 }.error.code == "too_large")
            // Requests that are refused, not wrong.
            connection.send(opcode: .text, Array(#"{"requestId": "5", "read": {"chatId": "9", "chatSeq": "1"}}"#.utf8))
            #expect(try await connection.frame { $0.requestID == 5 }.error.code == "chat_unknown")
            connection.send(opcode: .text, Array(#"{"requestId": "6", "send": {"chatId": "9", "clientMessageId": "1", "body": "AA=="}}"#.utf8))
            #expect(try await connection.frame { $0.requestID == 6 }.error.code == "chat_unknown")
            connection.send(opcode: .text, Array(#"{"ack": {"mailboxSeq": "9223372036854775807"}}"#.utf8))
            #expect(try await connection.frame { !$0.error.code.isEmpty }.error.code == "position_unknown")
        }
    }

    @Test func tenThousandRandomFrames() async throws {
        let seed: UInt64 = 2_026_112_1
        var random = SeededGenerator(seed: seed)
        try await RunningGateway.run { relay, _ in
            let attacker = try await relay.addUser("attacker")
            let bystander = try await relay.connect(try await relay.addUser("bystander"))
            let valid: [UInt8] = try Relay_V1_ClientFrame.ping(1).serializedBytes()
            var sent = 0
            var ends = 0
            while sent < 10_000 {
                let json = Bool.random(using: &random)
                let connection = try await relay.connect(attacker, subprotocol: json ? "relay.v1.json" : "relay.v1.proto")
                // One connection gets a few frames until one of them ends it; most of a batch goes unread by the relay.
                for _ in 0..<Int.random(in: 1...60, using: &random) {
                    sent += 1
                    let count = Int.random(in: 0...200, using: &random)
                    var payload = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
                    switch Int.random(in: 0..<10, using: &random) {
                    case 0: connection.send(payload)
                    case 1:
                        connection.send(
                            opcode: [.continuation, .close, .pong].randomElement(using: &random) ?? .close, payload, fin: Bool.random(using: &random))
                    case 2:
                        payload = valid
                        if let index = payload.indices.randomElement(using: &random) { payload[index] = .random(in: .min ... .max, using: &random) }
                        connection.send(opcode: json ? .text : .binary, payload)
                    case 3: connection.send(opcode: json ? .text : .binary, payload)
                    default: connection.send(opcode: .ping, Array(payload.prefix(125)))
                    }
                }
                // Fills up a frame that one of these began, and is then itself a wrong one.
                connection.send([UInt8](repeating: 0, count: 70_000))
                let code = await connection.closeCode()
                #expect(code.map(WebSocketParser.mayBeSent) == true, "seed \(seed), after \(sent) frames")
                ends += 1
                connection.close()
                if ends % 50 == 0 {
                    try bystander.send(.ping(UInt64(sent)))
                    _ = try await bystander.frame { $0.requestID == UInt64(sent) }
                }
            }
            try bystander.send(.ping(7))
            _ = try await bystander.frame { $0.requestID == 7 }
            let info: Relay_V1_Info = try await relay.call(.GET, "/v1/info")
            #expect(info.version == "test")
        }
    }
}
