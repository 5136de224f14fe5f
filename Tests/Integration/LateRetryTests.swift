import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// A device repeats what it sent long ago, behind much that others wrote since: the answer is the first one, however far back that lies.
@Suite("Late retries") struct LateRetryTests {
    private struct Answer: Decodable {
        struct Failure: Decodable {
            var code: String
            var highestClientMessageId: String?
        }
        struct Sent: Decodable, Equatable {
            var chatSeq: String
            var messageId: String
        }
        var requestId: String?
        var error: Failure?
        var sent: Sent?
    }

    @Test(.timeLimit(.minutes(10))) func theFirstAnswerIsFoundFarBack() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let codes = [try await relay.chatctl.addUser("alice").invite.code, try await relay.chatctl.addUser("bob").invite.code]
        let port = relay.port
        try await blocking {
            let alice = try WireDevice(port: port, code: codes[0])
            let bob = try WireDevice(port: port, code: codes[1])
            let opened = try RawConnection(port: port).json("POST", "/v1/chats", "{\"userId\": \"\(bob.user)\"}", headers: alice.authorization)
            let chat = try #require((try JSONSerialization.jsonObject(with: Data(opened.body)) as? [String: Any])?["chatId"] as? String)
            /// Sends these at once, and gives the answers by request.
            func ask(_ connection: RawConnection, _ frames: [Int: String]) throws -> [Int: Answer] {
                for (_, frame) in frames.sorted(by: { $0.key < $1.key }) { connection.sendText(frame) }
                var answers: [Int: Answer] = [:]
                while answers.count < frames.count {
                    let answer = try JSONDecoder().decode(Answer.self, from: Data(connection.readFrame().payload))
                    if let request = answer.requestId.flatMap({ Int($0) }), request > 0 { answers[request] = answer }
                }
                return answers
            }
            func frames(_ numbers: [Int], from first: Int) -> [Int: String] {
                var frames: [Int: String] = [:]
                for (index, number) in numbers.enumerated() {
                    frames[first + index] = JSONFrames.send(request: first + index, number: number, chat: chat, to: [alice, bob])
                }
                return frames
            }
            let connection = try alice.connect()
            let early = try ask(connection, frames([1, 3, 4], from: 1))
            let others = 2 * Limits.retryScan
            let between = try ask(try bob.connect(), frames(Array(1...others), from: 1))
            #expect(between.values.allSatisfy { $0.sent != nil })
            // All at once, with a new one behind them; 2 was never accepted.
            let late = try ask(connection, frames([4, 2, 1, 3, 5], from: 10))
            #expect(late[10]?.sent == early[3]?.sent && late[12]?.sent == early[1]?.sent && late[13]?.sent == early[2]?.sent)
            #expect(late[10]?.sent != nil)
            #expect(late[11]?.error?.code == "client_message_id_used" && late[11]?.error?.highestClientMessageId == "4")
            #expect(late[14]?.sent?.chatSeq == "\(others + 4)")
            // And what became of one.
            let path = "/v1/chats/\(chat)/messages/1/status"
            let status = try RawConnection(port: port).request("GET", path, headers: bob.authorization)
            #expect(status.status == 200, "bob's first message lies as far back")
        }
        #expect(await relay.terminate() == .exited(0))
    }
}
