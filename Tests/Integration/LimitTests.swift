import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// The limits of the real relayd, found out by devices that do not keep to them.
@Suite("Limits") struct LimitTests {
    private struct Answer: Decodable {
        struct Failure: Decodable {
            var code: String
            var retryAfterMs: Int?
        }
        struct Sent: Decodable { var chatSeq: String }
        var requestId: String?
        var error: Failure?
        var sent: Sent?
    }

    @Test(.timeLimit(.minutes(10))) func aFloodingDeviceIsRefusedFromOneMessageOn() async throws {
        let relay = try RelayProcess(limits: ["messages_per_device": 2])
        try await relay.start()
        let codes = [try await relay.chatctl.addUser("alice").invite.code, try await relay.chatctl.addUser("bob").invite.code]
        let port = relay.port
        try await blocking {
            let alice = try WireDevice(port: port, code: codes[0])
            let bob = try WireDevice(port: port, code: codes[1])
            let opened = try RawConnection(port: port).json("POST", "/v1/chats", "{\"userId\": \"\(bob.user)\"}", headers: alice.authorization)
            let chat = try #require((try JSONSerialization.jsonObject(with: Data(opened.body)) as? [String: Any])?["chatId"] as? String)
            let connection = try alice.connect()
            let count = 400
            for number in 1...count { connection.sendText(JSONFrames.send(request: number, number: number, chat: chat, to: [alice, bob])) }
            var answers: [Int: Answer] = [:]
            while answers.count < count {
                let answer = try JSONDecoder().decode(Answer.self, from: Data(connection.readFrame().payload))
                if let number = answer.requestId.flatMap({ Int($0) }), number > 0 { answers[number] = answer }
            }
            let refused = (1...count).filter { answers[$0]?.error != nil }
            let first = try #require(refused.first)
            #expect(first > 120, "a minute's worth may come at once")
            #expect(refused == Array(first...count), "nothing behind the first refused one was accepted")
            #expect(refused.allSatisfy { answers[$0]?.error?.code == "rate_limited" && (answers[$0]?.error?.retryAfterMs ?? 0) > 0 })
            // The connection goes on, and the first refused one is accepted once its time has come.
            var next: Answer
            repeat {
                connection.sendText(JSONFrames.send(request: first, number: first, chat: chat, to: [alice, bob]))
                repeat {
                    next = try JSONDecoder().decode(Answer.self, from: Data(connection.readFrame().payload))
                } while next.requestId != "\(first)"
            } while next.error != nil
            #expect(next.sent?.chatSeq == "\(first)")
        }
        #expect(await relay.terminate() == .exited(0))
    }

    /// A read costs the disk what a message does.
    @Test(.timeLimit(.minutes(10))) func aDeviceThatReadsInALoopIsRefused() async throws {
        let relay = try RelayProcess(limits: ["messages_per_device": 2])
        try await relay.start()
        let codes = [try await relay.chatctl.addUser("alice").invite.code, try await relay.chatctl.addUser("bob").invite.code]
        let port = relay.port
        try await blocking {
            let alice = try WireDevice(port: port, code: codes[0])
            let bob = try WireDevice(port: port, code: codes[1])
            let opened = try RawConnection(port: port).json("POST", "/v1/chats", "{\"userId\": \"\(bob.user)\"}", headers: alice.authorization)
            let chat = try #require((try JSONSerialization.jsonObject(with: Data(opened.body)) as? [String: Any])?["chatId"] as? String)
            let connection = try alice.connect()
            func ask(_ frame: String, _ number: Int) throws -> Answer {
                connection.sendText(frame)
                while true {
                    let answer = try JSONDecoder().decode(Answer.self, from: Data(connection.readFrame().payload))
                    if answer.requestId == "\(number)" { return answer }
                }
            }
            func read(_ number: Int) throws -> Answer {
                try ask("{\"requestId\": \"\(number)\", \"read\": {\"chatId\": \"\(chat)\", \"chatSeq\": \"1\"}}", number)
            }
            #expect(try ask(JSONFrames.send(request: 1, number: 1, chat: chat, to: [alice, bob]), 1).sent != nil)
            var number = 2
            var refused = try read(number).error
            while refused == nil {
                number += 1
                refused = try read(number).error
            }
            #expect(number > 120, "a minute's worth may come at once")
            let refusal = try #require(refused)
            #expect(refusal.code == "rate_limited" && (refusal.retryAfterMs ?? 0) > 0)
            // Messages go on, and reads too when their time has come.
            #expect(try ask(JSONFrames.send(request: number + 2, number: number + 2, chat: chat, to: [alice, bob]), number + 2).sent != nil)
            number += 3
            while try read(number).error != nil { number += 1 }
        }
        #expect(await relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func aFloodingAddressIsRefused() async throws {
        let relay = try RelayProcess(limits: ["requests_per_address": 1, "pending_per_address": 10], flags: ["limit_loopback": true])
        try await relay.start()
        let port = relay.port
        try await blocking {
            let connection = try RawConnection(port: port)
            var replies: [RawConnection.Reply] = []
            repeat { replies.append(try connection.request("GET", "/v1/info")) } while replies.last?.status == 200
            #expect(replies.count > 60)
            #expect(replies.last?.status == 429 && replies.last?.errorCode == "rate_limited" && replies.last?.headers["retry-after"] == "1")
            // Connections that ask nothing: the eleventh is closed at once.
            let open = try (0..<9).map { _ in try RawConnection(port: port) }
            let answered = try open.map { try $0.request("GET", "/v1/info").status }
            #expect(answered.allSatisfy { $0 == 429 || $0 == 200 })
            let last = try withExtendedLifetime((connection, open)) { try RawConnection(port: port).readToEnd() }
            #expect(last == [])
        }
        // The operator's socket is no address.
        #expect(try await relay.chatctl.run("status").succeeded)
        #expect(await relay.terminate() == .exited(0))
    }

    /// A new rate holds for connections that are open.
    @Test(.timeLimit(.minutes(10))) func aReloadChangesTheLimits() async throws {
        let relay = try RelayProcess(limits: ["requests_per_address": 1_000_000], flags: ["limit_loopback": true])
        try await relay.start()
        let port = relay.port
        let connection = try await blocking { try Held(RawConnection(port: port)) }
        let before = try await blocking { try (0..<100).map { _ in try connection.raw.request("GET", "/v1/info").status } }
        #expect(before.allSatisfy { $0 == 200 })
        let text = try String(contentsOfFile: relay.configurationPath, encoding: .utf8)
        try text.replacing("requests_per_address = 1000000", with: "requests_per_address = 1").write(
            toFile: relay.configurationPath, atomically: true, encoding: .utf8)
        kill(try #require(relay.processID), SIGHUP)
        try await blocking {
            // The signal is handled in its own time; a minute's worth at the new rate is sixty.
            while try connection.raw.request("GET", "/v1/info").status == 200 {}
        }
        #expect(await relay.terminate() == .exited(0))
    }

    /// Used by one task at a time.
    private final class Held: @unchecked Sendable {
        let raw: RawConnection
        init(_ raw: RawConnection) { self.raw = raw }
    }

    @Test(.timeLimit(.minutes(10))) func theOperatorSeesWhoIsSuspendedAndWhoHasNoLimits() async throws {
        let relay = try RelayProcess(limits: ["anomaly_messages": 10])
        try await relay.start()
        let chatctl = relay.chatctl
        #expect(try await chatctl.run("user", "add", "bot", "--no-limits").succeeded)
        #expect(try await chatctl.json(["user", "show", "bot"], as: UserRecord.self).noLimits)
        let suspended: UserRecord = try await chatctl.json(["user", "suspend", "bot", "--reason", "too loud"])
        #expect(suspended.suspendedAt != nil && suspended.suspendedReason == "too loud")
        try await relay.kill()
        try await relay.start()
        var shown: UserRecord = try await chatctl.json(["user", "show", "bot"])
        #expect(shown.relations != nil)
        shown.relations = suspended.relations
        #expect(shown == suspended)
        let resumed: UserRecord = try await chatctl.json(["user", "resume", "bot"])
        #expect(resumed.suspendedAt == nil && resumed.noLimits)
        let audit: AuditList.Reply = try await chatctl.json(["audit", "list"])
        #expect(audit.entries.map(\.operation) == ["user/resume", "user/suspend", "user/add"])
        #expect(await relay.terminate() == .exited(0))
    }
}
