import RelayControl
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// What operators are told when something else than relayd answers, or relayd in another version.
@Suite struct ControlClientTests {
    @Test(
        .timeLimit(.minutes(10)),
        arguments: [
            (ScriptedSocket.reply("{\"protocolVersion\":99,\"relayVersion\":\"9.9\"}"), ControlErrorCode.versionMismatch, "speaks version 99"),
            (ScriptedSocket.reply("{}"), .versionMismatch, "another shape"),
            (ScriptedSocket.reply("[not JSON"), .versionMismatch, "another shape"),
            (ScriptedSocket.reply("{\"code\":\"try_again\",\"message\":\"not now\"}", status: "503 Busy"), .tryAgain, "not now"),
            (ScriptedSocket.reply("go away", status: "403 Forbidden"), .failed, "HTTP status 403"),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", .failed, "does not speak HTTP"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", .failed, "larger than chatctl accepts"),
        ])
    func badAnswers(answer: String, code: ControlErrorCode, words: String) async throws {
        let directory = try TemporaryDirectory()
        _ = try ScriptedSocket(directory.file("s"), [[.say(answer)]])
        await check(ControlClient(socket: directory.file("s")), code, words)
    }

    @Test(.timeLimit(.minutes(10))) func noAnswer() async throws {
        let directory = try TemporaryDirectory()
        _ = try ScriptedSocket(directory.file("s"), [[.cutOff("HTTP/1.1 200 OK\r\n")], [.silence]])
        await check(ControlClient(socket: directory.file("s")), .daemonUnreachable, "closed the connection before")
        await check(ControlClient(socket: directory.file("s"), patience: .milliseconds(50)), .tryAgain, "did not answer in time")
        await check(ControlClient(socket: directory.file("none")), .daemonUnreachable, "there is no socket")
    }

    /// The version is asked for once, before what changes something.
    @Test(.timeLimit(.minutes(10))) func manyCalls() async throws {
        let directory = try TemporaryDirectory()
        let hello = ScriptedSocket.reply("{\"protocolVersion\":\(controlProtocolVersion),\"relayVersion\":\"1\"}")
        let done = ScriptedSocket.reply("{\"target\":\"a server\",\"milliseconds\":1}")
        let server = try ScriptedSocket(directory.file("s"), [[.say(hello), .say(done), .say(done)]])
        let client = ControlClient(socket: directory.file("s"))
        for _ in 0..<2 { _ = try await client.call(AlertTest()) }
        #expect(try await client.greet().relayVersion == "1")
        #expect(server.asked.map { $0.split(separator: " ")[1] } == ["/v1/hello", "/v1/alert/test", "/v1/alert/test"])
        #expect(server.accepted == 1)
    }

    private func check(_ client: ControlClient, _ code: ControlErrorCode, _ words: String) async {
        do throws(ControlError) {
            _ = try await client.greet()
            Issue.record("took it for a reply")
        } catch {
            #expect(error.code == code && error.message.contains(words), "\(error)")
            #expect(error.code == .tryAgain || error.hint != nil)
        }
    }
}
