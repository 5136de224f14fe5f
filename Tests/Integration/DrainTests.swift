import Foundation
import RelayControl
import RelayTestSupport
import RelayWire
import Testing

/// What devices see when the relay is told to stop.
@Suite("Stopping") struct DrainTests {
    @Test(.timeLimit(.minutes(10))) func whatWasAskedIsAnsweredBeforeTheEnd() async throws {
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let relay = try RelayProcess(directory: directory, environment: faults.environment)
        try await relay.start()
        let codes = [try await relay.chatctl.addUser("alice").invite.code, try await relay.chatctl.addUser("bob").invite.code]
        let port = relay.port
        let count = 5
        let (alice, bob, chat, connection) = try await blocking {
            let alice = try WireDevice(port: port, code: codes[0])
            let bob = try WireDevice(port: port, code: codes[1])
            let chat = try alice.chat(with: bob.user)
            return (alice, bob, chat, try alice.connect())
        }
        // While the disk takes its time, five messages wait for it; the answer to the ping says that the relay has read them.
        faults.arm(.hold, .flush, on: .log)
        try await blocking {
            for number in 1...count { connection.sendText(JSONFrames.send(request: number, number: number, chat: "\(chat)", to: [alice, bob])) }
            connection.sendText("{\"requestId\": \"99\", \"ping\": {}}")
            _ = try connection.readText(containing: "\"99\"")
        }
        // On one thread, without a turn of the tests' pool in between: the relay's patience with connections has an end.
        let (answered, code) = try await blocking {
            relay.send(SIGTERM)
            // Nobody new is taken; by then everybody who is there has been told to come to an end.
            var isOpen = true
            while isOpen {
                // With a reset, because on a busy machine these may be so many that no port is left for the next.
                do { try RawConnection(port: port).reset() } catch {
                    isOpen = !"\(error)".contains("refused") && !"\(error)".contains("reset")
                }
            }
            // Too late: it is not stored, and not answered.
            connection.sendText(JSONFrames.send(request: 6, number: 6, chat: "\(chat)", to: [alice, bob]))
            faults.disarm()
            var answered: [Int] = []
            while true {
                let frame = try connection.readFrame()
                if frame.opcode == 8 { return (answered, frame.payload.prefix(2).reduce(0) { $0 << 8 | Int($1) }) }
                struct Answer: Decodable { var requestId: String?, sent: Sent? }
                struct Sent: Decodable {}
                let answer = try JSONDecoder().decode(Answer.self, from: Data(frame.payload))
                if answer.sent != nil, let number = answer.requestId.flatMap({ Int($0) }) { answered.append(number) }
            }
        }
        try await relay.says("STATUS=closing connections")
        #expect(answered == Array(1...count))
        #expect(code == 1012)
        #expect(await relay.ended() == .exited(0), "\(relay.standardError)")

        try await relay.start()
        let texts = try await blocking {
            // Tokens do not outlive a restart.
            var bob = bob
            try bob.signIn()
            let stream = try bob.connectBinary()
            var numbers: [UInt64] = []
            try stream.drain { numbers.append($0.clientMessageID) }
            return numbers
        }
        #expect(texts == (1...UInt64(count)).map { $0 })
        await relay.terminate()
    }
}
