import Foundation
import RelayControl
import RelayCrypto
import RelayModel
import RelayTestSupport
import Testing

/// Wrong, hostile and broken input over the real sockets: a typed error or a close code each, and nobody else notices.
@Suite("Bad input") struct BadInputTests {
    /// A relay with alice and bob, and a device of each.
    struct Bench: Sendable {
        let relay: RelayProcess
        let aliceCode: String

        init(limits: [String: Int] = [:]) async throws {
            relay = try RelayProcess(limits: limits)
            try await relay.start()
            aliceCode = try await relay.chatctl.addUser("alice").invite.code
        }

        func device(_ user: String) async throws -> WireDevice {
            let code = try await relay.chatctl.invite(user).code
            let port = relay.port
            return try await blocking { try WireDevice(port: port, code: code) }
        }
    }

    /// One request and what must come back.
    struct Case: Sendable, CustomStringConvertible {
        var method = "POST"
        var path: String
        var headers: [String: String] = [:]
        var body: [UInt8]?
        var status: Int
        var code: String
        var description: String { "\(method) \(path) → \(status) \(code)" }
    }

    @Test(.timeLimit(.minutes(10))) func restRequests() async throws {
        let bench = try await Bench()
        let relay = bench.relay
        let alice = try await bench.device("alice")
        let port = relay.port
        let code = bench.aliceCode
        let used = try await relay.chatctl.invite("alice").code
        try await blocking {
            _ = try WireDevice(port: port, code: used)
            let secrets = DeviceSecrets.generate(SystemEntropy())
            let bearer = ["Authorization": "Bearer \(alice.token)"]
            let json = ["Content-Type": "application/json"]
            func text(_ text: String) -> [UInt8] { Array(text.utf8) }
            let noSuchCode = "00000-00000-00000-00000-00000-0"
            let wrongSignature = [UInt8](repeating: 7, count: 64)
            let cases: [Case] = [
                Case(method: "GET", path: "/v1/users?name=alice", status: 401, code: "unauthorized"),
                Case(method: "GET", path: "/v1/users?name=alice", headers: ["Authorization": "Bearer x"], status: 401, code: "unauthorized"),
                Case(method: "GET", path: "/v1/users?name=alice", headers: ["Authorization": "Basic eDp5"], status: 401, code: "unauthorized"),
                Case(
                    method: "GET", path: "/v1/users?name=alice", headers: ["Authorization": "Bearer \(alice.token.dropLast(4))AAAA"], status: 401,
                    code: "unauthorized"),
                Case(method: "GET", path: "/v1/users?name=nobody", headers: bearer, status: 404, code: "user_unknown"),
                Case(method: "GET", path: "/v1/chats/123456", headers: bearer, status: 404, code: "chat_unknown"),
                Case(method: "GET", path: "/v1/chats/abc", headers: bearer, status: 400, code: "malformed"),
                Case(method: "GET", path: "/v1/no/such/path", headers: bearer, status: 404, code: "not_found"),
                Case(method: "DELETE", path: "/v1/chats", headers: bearer, status: 405, code: "method_not_allowed"),
                Case(
                    path: "/v1/chats", headers: bearer.merging(json) { $1 }, body: text("{\"userId\": \"\(alice.user)\"}"), status: 400,
                    code: "chat_with_self"),
                Case(
                    path: "/v1/chats", headers: bearer.merging(json) { $1 }, body: text("{\"userId\": \"4242\"}"), status: 404, code: "user_unknown"),
                Case(path: "/v1/chats", headers: bearer.merging(json) { $1 }, body: text("{\"userId\": "), status: 400, code: "malformed"),
                Case(path: "/v1/chats", headers: bearer.merging(json) { $1 }, body: text("[]"), status: 400, code: "malformed"),
                Case(path: "/v1/chats", headers: bearer.merging(json) { $1 }, body: [0x22, 0xff, 0xfe, 0x22], status: 400, code: "malformed"),
                Case(
                    path: "/v1/chats", headers: bearer.merging(["Content-Type": "application/x-protobuf"]) { $1 }, body: [0xff, 0xff, 0xff, 0xff],
                    status: 400, code: "malformed"),
                Case(path: "/v1/enrol", headers: json, body: text(WireDevice.enrolment(used, secrets)), status: 410, code: "invite_used"),
                Case(path: "/v1/enrol", headers: json, body: text(WireDevice.enrolment(noSuchCode, secrets)), status: 403, code: "invite_invalid"),
                Case(path: "/v1/enrol", headers: json, body: text(WireDevice.enrolment("", secrets)), status: 403, code: "invite_invalid"),
                Case(path: "/v1/enrol", headers: json, body: text(WireDevice.enrolment(code, secrets, device: "")), status: 400, code: "malformed"),
                Case(
                    path: "/v1/enrol", headers: json, body: text(WireDevice.enrolment(code, secrets, signature: wrongSignature)), status: 401,
                    code: "signature_invalid"),
                Case(path: "/v1/enrol", headers: json, body: text("{\"inviteCode\": \"\(code)\"}"), status: 400, code: "malformed"),
                Case(path: "/v1/enrol", headers: json, body: [UInt8](repeating: 0x20, count: 100_000), status: 413, code: "too_large"),
                Case(
                    path: "/v1/auth/token", headers: json,
                    body: text("{\"deviceId\": \"\(alice.id)\", \"challenge\": \"AAAA\", \"signature\": \"AAAA\"}"),
                    status: 401, code: "challenge_expired"),
                Case(method: "GET", path: "/v1/connect", headers: bearer, status: 426, code: "upgrade_required"),
            ]
            for bad in cases {
                let reply = try RawConnection(port: port).request(bad.method, bad.path, headers: bad.headers, body: bad.body)
                if reply.headers["content-type"]?.hasPrefix("application/x-protobuf") == true {
                    #expect(reply.status == bad.status && reply.text.contains(bad.code), "\(bad), but got \(reply.status)")
                    continue
                }
                #expect(reply.status == bad.status && reply.errorCode == bad.code, "\(bad), but got \(reply.status) \(reply.text)")
                let hint = (try? JSONDecoder().decode(RawConnection.TypedError.self, from: Data(reply.body)))?.hint
                #expect(hint?.isEmpty == false, "\(bad) says nothing about what to do next")
            }

            // A wrong signature over a good challenge.
            let connection = try RawConnection(port: port)
            let asked = try connection.json("POST", "/v1/auth/challenge", "{\"deviceId\": \"\(alice.id)\"}")
            let challenge = try JSONDecoder().decode(WireDevice.Challenge.self, from: Data(asked.body)).challenge.base64EncodedString()
            let answer = """
                {"deviceId": "\(alice.id)", "challenge": "\(challenge)", "signature": "\(Data(wrongSignature).base64EncodedString())"}
                """
            let refused = try connection.json("POST", "/v1/auth/token", answer)
            #expect(refused.status == 401 && refused.errorCode == "signature_invalid", "\(refused.text)")
            // The invite that was refused for its request is still good.
            _ = try WireDevice(port: port, code: code)
        }
        #expect(await relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func upgrades() async throws {
        let bench = try await Bench()
        let alice = try await bench.device("alice")
        let port = bench.relay.port
        try await blocking {
            let stranger = try RawConnection(port: port).upgrade(token: "nonsense")
            #expect(stranger.status == 401 && stranger.errorCode == "unauthorized", "\(stranger.text)")
            let old = try RawConnection(port: port).upgrade(token: alice.token, version: "8")
            #expect(old.status == 426, "\(old.status) \(old.text)")
            let other = try RawConnection(port: port).upgrade(token: alice.token, subprotocol: "chat.v9")
            #expect(other.status == 426 || other.status == 400, "\(other.status) \(other.text)")
            let elsewhere = try RawConnection(port: port).upgrade(token: alice.token, path: "/v1/nowhere")
            #expect(elsewhere.status == 404, "\(elsewhere.status) \(elsewhere.text)")
            let cursor = try RawConnection(port: port).upgrade(token: alice.token, path: "/v1/connect?cursor=minus")
            #expect(cursor.status == 400 && cursor.errorCode == "malformed", "\(cursor.status) \(cursor.text)")
            let garbage = try RawConnection(port: port)
            garbage.send("\u{16}\u{03}\u{01}\u{02}not HTTP at all\r\n\r\n")
            _ = try garbage.readToEnd()
        }
        #expect(await bench.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func revokedTokensAndSocketsDieAtOnce() async throws {
        let bench = try await Bench()
        let alice = try await bench.device("alice")
        let relay = bench.relay
        let port = relay.port
        let opened = try await blocking {
            let connection = try RawConnection(port: port)
            #expect(try connection.upgrade(token: alice.token).status == 101)
            _ = try connection.readText(containing: "caughtUp")
            return Handed(connection)
        }
        #expect(try await relay.chatctl.run("device", "revoke", alice.id, "--yes").succeeded)
        try await blocking {
            #expect(try opened.connection.readCloseCode() == 4403)
            let reply = try RawConnection(port: port).request("GET", "/v1/users?name=alice", headers: ["Authorization": "Bearer \(alice.token)"])
            #expect(reply.status == 401 && reply.errorCode == "device_revoked", "\(reply.text)")
            let upgrade = try RawConnection(port: port).upgrade(token: alice.token)
            #expect(upgrade.status == 401 && upgrade.errorCode == "device_revoked", "\(upgrade.text)")
        }
        #expect(await relay.terminate() == .exited(0))
    }

    /// A connection on its way from one thread to the next, never used by two at a time.
    final class Handed: @unchecked Sendable {
        let connection: RawConnection
        init(_ connection: RawConnection) { self.connection = connection }
    }

    @Test(.timeLimit(.minutes(10))) func brokenFrames() async throws {
        let bench = try await Bench()
        let alice = try await bench.device("alice")
        let bystander = try await bench.device("alice")
        let port = bench.relay.port
        try await blocking {
            let calm = try RawConnection(port: port)
            #expect(try calm.upgrade(token: bystander.token).status == 101)
            let ping = Array("{\"ping\": {}}".utf8)
            let cases: [(name: String, bytes: [UInt8], codes: Set<UInt16?>)] = [
                ("an unmasked frame", RawConnection.frame(opcode: 1, ping, masked: false), [1002]),
                ("a reserved bit", RawConnection.frame(opcode: 1, ping, reserved: 4), [1002]),
                ("a reserved opcode", RawConnection.frame(opcode: 3, ping), [1002]),
                ("a fragmented ping", RawConnection.frame(opcode: 9, [1], final: false), [1002]),
                ("a ping of 126 bytes", RawConnection.frame(opcode: 9, [UInt8](repeating: 1, count: 126)), [1002]),
                ("a continuation of nothing", RawConnection.frame(opcode: 0, ping), [1002]),
                (
                    "a new message inside a fragmented one",
                    RawConnection.frame(opcode: 1, ping, final: false) + RawConnection.frame(opcode: 1, ping), [1002]
                ),
                ("invalid UTF-8", RawConnection.frame(opcode: 1, [0x7b, 0xc3, 0x28]), [1007]),
                ("a surrogate in UTF-8", RawConnection.frame(opcode: 1, [0xed, 0xa0, 0x80]), [1007]),
                ("JSON that ends early", RawConnection.frame(opcode: 1, Array("{\"send\": {".utf8)), [1007]),
                ("JSON of another shape", RawConnection.frame(opcode: 1, Array("[1, 2]".utf8)), [1007]),
                ("deep JSON", RawConnection.frame(opcode: 1, [UInt8](repeating: UInt8(ascii: "["), count: 50_000)), [1007]),
                ("protobuf where JSON was agreed", RawConnection.frame(opcode: 2, [0xff, 0xff]), [1003, 1007]),
                ("a frame that claims 100 MB", RawConnection.frame(opcode: 2, [], claimedLength: 100_000_000), [1009]),
                ("a frame that claims 2^62 bytes", RawConnection.frame(opcode: 2, [], claimedLength: 1 << 62), [1009, 1002]),
                ("a close with a reserved code", RawConnection.frame(opcode: 8, [0x03, 0xed]), [1002]),
                ("a close of one byte", RawConnection.frame(opcode: 8, [0x03]), [1002]),
                ("a proper close", RawConnection.frame(opcode: 8, [0x03, 0xe8]), [1000]),
            ]
            for bad in cases {
                let connection = try RawConnection(port: port)
                #expect(try connection.upgrade(token: alice.token).status == 101)
                connection.send(bad.bytes)
                let code = try connection.readCloseCode()
                #expect(bad.codes.contains(code), "\(bad.name) got \(code.map(String.init) ?? "no close code")")
                try calm.ping()
            }
            // A truncated frame: the end of the connection is the answer, on either side.
            let truncated = try RawConnection(port: port)
            #expect(try truncated.upgrade(token: alice.token).status == 101)
            truncated.send(RawConnection.frame(opcode: 1, ping, claimedLength: 1000))
            truncated.finishSending()
            _ = try truncated.readCloseCode()
            // Fragments and pings between them are fine.
            let careful = try RawConnection(port: port)
            #expect(try careful.upgrade(token: alice.token).status == 101)
            for (index, byte) in ping.enumerated() {
                careful.send(RawConnection.frame(opcode: index == 0 ? 1 : 0, [byte], final: index == ping.count - 1))
                if index == 3 { careful.send(RawConnection.frame(opcode: 9, [42])) }
            }
            try calm.ping()
        }
        #expect(await bench.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func wrongRequestsOnAnOpenConnection() async throws {
        let bench = try await Bench(limits: ["message_bytes": 4096])
        let relay = bench.relay
        let alice = try await bench.device("alice")
        _ = try await relay.chatctl.addUser("bob")
        let bob = try await bench.device("bob")
        let port = relay.port
        try await blocking {
            let opened = try RawConnection(port: port).json(
                "POST", "/v1/chats", "{\"userId\": \"\(bob.user)\"}", headers: ["Authorization": "Bearer \(alice.token)"])
            struct Chat: Decodable { var chatId: String }
            let chat = try JSONDecoder().decode(Chat.self, from: Data(opened.body)).chatId
            let connection = try RawConnection(port: port)
            #expect(try connection.upgrade(token: alice.token).status == 101)

            let key = Data(repeating: 1, count: 48).base64EncodedString()
            func send(_ number: Int, chat: String = chat, body: Int = 100, keys: String) -> String {
                let bytes = Data(repeating: 5, count: body).base64EncodedString()
                return """
                    {"requestId": "\(number)", "send": {"chatId": "\(chat)", "clientMessageId": "\(number)", "body": "\(bytes)", "keys": [\(keys)]}}
                    """
            }
            func member(_ device: WireDevice, key: String = key) -> String {
                "{\"userId\": \"\(device.user)\", \"devices\": [{\"deviceId\": \"\(device.id)\", \"key\": \"\(key)\"}]}"
            }
            let both = member(alice) + ", " + member(bob)
            let longKey = Data(repeating: 1, count: 300).base64EncodedString()
            let cases: [(frame: String, code: String)] = [
                ("{}", "unknown_kind"),
                ("{\"requestId\": \"1\", \"teleport\": {}}", "unknown_kind"),
                (send(2, chat: "99", keys: both), "chat_unknown"),
                (send(3, keys: member(alice)), "device_set_mismatch"),
                (send(4, keys: ""), "device_set_mismatch"),
                (send(5, body: 5000, keys: both), "too_large"),
                (send(6, keys: member(alice) + ", " + member(bob, key: longKey)), "malformed"),
                ("{\"requestId\": \"7\", \"send\": {\"chatId\": \"\(chat)\", \"body\": \"AAAA\", \"keys\": [\(both)]}}", "malformed"),
                ("{\"requestId\": \"8\", \"read\": {\"chatId\": \"\(chat)\", \"chatSeq\": \"77\"}}", "position_unknown"),
                ("{\"ack\": {\"mailboxSeq\": \"9223372036854775807\"}}", "position_unknown"),
            ]
            for bad in cases {
                connection.sendText(bad.frame)
                let answer = try connection.readText(containing: "error")
                #expect(answer.contains("\"\(bad.code)\""), "\(bad.frame.prefix(120)) got \(answer)")
                #expect(answer.contains("hint"), "\(answer)")
            }
            // The connection is as good as before; the same number twice is one message.
            for _ in 0..<2 {
                connection.sendText(send(20, keys: both))
                _ = try connection.readText(containing: "\"sent\"")
            }
            connection.sendText(send(19, keys: both))
            #expect(try connection.readText(containing: "error").contains("client_message_id_used"))
        }
        #expect(try await relay.chatctl.status().messagesAccepted == 1)
        #expect(await relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func handshakesThatNeverEnd() async throws {
        let bench = try await Bench()
        let alice = try await bench.device("alice")
        let port = bench.relay.port
        try await blocking {
            let heads = [
                "", "G", "GET /v1/connect HTTP/1.1\r\n", "GET /v1/connect HTTP/1.1\r\nHost: relay\r\nX-Slow: ", "\r\n",
                "POST /v1/enrol HTTP/1.1\r\nHost",
            ]
            let slow = try heads.map { head in
                let connection = try RawConnection(port: port)
                connection.send(head)
                return connection
            }
            let calm = try RawConnection(port: port)
            #expect(try calm.upgrade(token: alice.token).status == 101)
            try calm.ping()
            for (connection, head) in zip(slow, heads) {
                do {
                    let rest = String(decoding: try connection.readToEnd(), as: UTF8.self)
                    #expect(rest.isEmpty || rest.hasPrefix("HTTP/1.1 4"), "\(rest)")
                } catch {
                    Issue.record("the connection that sent only “\(head)” stayed open")
                }
                try calm.ping()
            }
            // A head without end is refused by size.
            let endless = try RawConnection(port: port)
            endless.send("GET /v1/info HTTP/1.1\r\n")
            var sent = 0
            while sent < 10_000_000, endless.send("X-Filler: " + String(repeating: "x", count: 8000) + "\r\n") { sent += 8000 }
            #expect(sent < 10_000_000, "the relay read a head of 10 MB")
            try calm.ping()
        }
        #expect(await bench.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func aConnectionLostInTheMiddleOfARequestIsNoFaultOfTheRelay() async throws {
        let bench = try await Bench()
        let port = bench.relay.port
        try await blocking {
            let connection = try RawConnection(port: port)
            // In one piece: when the first is answered, the second has been read, too.
            connection.send("GET /v1/info HTTP/1.1\r\nHost: relay\r\n\r\nPOST /v1/enrol HTTP/1.1\r\nHost: relay\r\nContent-Length: 100\r\n\r\n{")
            #expect(try connection.readReply().status == 200)
            connection.reset()
        }
        let line = await bench.relay.line { $0.contains("path=/v1/enrol") }
        #expect(line?.contains("debug gateway: request refused code=malformed") == true, "\(line ?? "no line")")
        #expect(await bench.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func tenThousandRandomFrames() async throws {
        let bench = try await Bench()
        let alice = try await bench.device("alice")
        let bystander = try await bench.device("alice")
        let port = bench.relay.port
        let seed = UInt64.random(in: .min ... .max)
        print("random frames: seed \(seed)")
        try await blocking {
            var random = SeededGenerator(seed: seed)
            let calm = try RawConnection(port: port)
            #expect(try calm.upgrade(token: bystander.token).status == 101)
            var frames = 0
            var connections = 0
            while frames < 10_000 {
                let connection = try RawConnection(port: port)
                let subprotocol = Bool.random(using: &random) ? "relay.v1.json" : "relay.v1.proto"
                guard try connection.upgrade(token: alice.token, subprotocol: subprotocol).status == 101 else {
                    Issue.record("seed \(seed): an upgrade was refused after \(frames) frames")
                    return
                }
                connections += 1
                var open = true
                while open, frames < 10_000 {
                    open = connection.send(Self.randomFrame(&random))
                    frames += 1
                    // Most frames of this kind end the connection; go on until the relay says so, but not for ever on one.
                    if frames % 50 == 0 { break }
                }
                connection.finishSending()
                _ = try connection.readCloseCode()
                if connections % 20 == 0 { try calm.ping() }
            }
            try calm.ping()
        }
        #expect(await bench.relay.terminate() == .exited(0), "seed \(seed): \(bench.relay.standardError.suffix(2000))")
    }

    /// From pure noise to almost right.
    static func randomFrame(_ random: inout SeededGenerator) -> [UInt8] {
        func noise(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) } }
        switch Int.random(in: 0..<6, using: &random) {
        case 0: return noise(Int.random(in: 1...64, using: &random))
        case 1:
            return RawConnection.frame(
                opcode: UInt8.random(in: 0...15, using: &random), noise(Int.random(in: 0...200, using: &random)), final: .random(using: &random),
                masked: .random(using: &random), reserved: UInt8.random(in: 0...7, using: &random))
        case 2: return RawConnection.frame(opcode: 2, noise(Int.random(in: 0...2000, using: &random)))
        case 3:
            // A well-formed protobuf frame with a byte changed: request 7, a ping.
            var bytes: [UInt8] = [0x08, 0x07, 0x2a, 0x00]
            bytes[Int.random(in: 0..<4, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            return RawConnection.frame(opcode: 2, bytes)
        case 4:
            var text = Array("{\"requestId\": \"7\", \"send\": {\"chatId\": \"1\", \"clientMessageId\": \"1\", \"body\": \"AAAA\"}}".utf8)
            text[Int.random(in: 0..<text.count, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            return RawConnection.frame(opcode: 1, text)
        default: return RawConnection.frame(opcode: 1, Array("{\"requestId\": \"7\", \"ping\": {}}".utf8))
        }
    }
}
