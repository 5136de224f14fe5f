import Glibc
import RelayHTTP
import RelayModel
import RelayTestSupport
import Testing

/// Against a socket that says what relayd would not.
@Suite struct UnixHTTPClientTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.file("s") }

    init() throws { directory = try TemporaryDirectory() }

    private func ask(_ client: UnixHTTPClient, _ body: String = "{}", patience: Duration = .seconds(300)) throws(HTTPClientError) -> String {
        let (status, body) = try client.request("POST", "/v1/hello", json: Array(body.utf8), patience: patience)
        return "\(status) \(String(decoding: body, as: UTF8.self))"
    }

    /// What the first request gets.
    private func failure(_ answer: ScriptedSocket.Answer, patience: Duration = .seconds(300)) throws -> HTTPClientError? {
        let server = try ScriptedSocket(path, [[answer]])
        defer { #expect(server.accepted == 1) }
        do throws(HTTPClientError) {
            _ = try ask(UnixHTTPClient(path: path, maxReplyBytes: 1000), patience: patience)
            return nil
        } catch { return error }
    }

    @Test(.timeLimit(.minutes(10))) func requestsGoOverOneConnection() throws {
        let server = try ScriptedSocket(
            path,
            [
                [
                    .say(ScriptedSocket.reply("one")), .spell(ScriptedSocket.reply("γεια", status: "404 Not Found")),
                    .say("HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length:0\r\n\r\n"),
                ]
            ])
        let client = UnixHTTPClient(path: path)
        #expect(try ask(client, "{\"a\":1}") == "200 one")
        #expect(try ask(client) == "404 γεια")
        #expect(try ask(client) == "200 ")
        #expect(server.accepted == 1)
        let first = try #require(server.asked.first)
        #expect(first.hasPrefix("POST /v1/hello HTTP/1.1\r\nHost: localhost\r\n") && first.hasSuffix("\r\n\r\n{\"a\":1}"))
    }

    @Test(.timeLimit(.minutes(10))) func aReplyOfManyPieces() throws {
        let body = String(repeating: "0123456789", count: 100_000)
        _ = try ScriptedSocket(path, [[.say(ScriptedSocket.reply(body))]])
        #expect(try ask(UnixHTTPClient(path: path)) == "200 " + body)
    }

    @Test(.timeLimit(.minutes(10))) func aKeptConnectionThatWasClosedIsReplaced() throws {
        let reply = ScriptedSocket.reply("x")
        let server = try ScriptedSocket(path, [[.say(reply)], [.say(reply), .cutOff("")], [.say(reply)]])
        let client = UnixHTTPClient(path: path)
        for _ in 0..<3 { #expect(try ask(client) == "200 x") }
        #expect(server.accepted == 3)
    }

    /// It could have been done: asking again would do it twice.
    @Test(.timeLimit(.minutes(10))) func whatWasAnsweredHalfIsNotAskedAgain() throws {
        let server = try ScriptedSocket(
            path, [[.say(ScriptedSocket.reply("x")), .cutOff("HTTP/1.1 200 OK\r\n")], [.say(ScriptedSocket.reply("y"))]])
        let client = UnixHTTPClient(path: path)
        #expect(try ask(client) == "200 x")
        do throws(HTTPClientError) {
            _ = try ask(client)
            Issue.record("a reply out of half of one")
        } catch {
            guard case .closed = error else { throw error }
        }
        #expect(server.asked.count == 2)
        #expect(try ask(client) == "200 y")
    }

    @Test(.timeLimit(.minutes(10)), arguments: [ScriptedSocket.reply("x", fields: "Connection: close\r\n"), ScriptedSocket.reply("x") + "more"])
    func aConnectionThatIsOverIsNotKept(reply: String) throws {
        let server = try ScriptedSocket(path, [[.say(reply), .silence], [.say(reply)]])
        let client = UnixHTTPClient(path: path)
        for _ in 0..<2 { #expect(try ask(client) == "200 x") }
        #expect(server.accepted == 2)
    }

    @Test(
        .timeLimit(.minutes(10)),
        arguments: [
            "", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        ])
    func anAnswerThatEndsTooSoon(answer: String) throws {
        guard case .closed? = try failure(.cutOff(answer)) else {
            Issue.record("taken for a reply")
            return
        }
    }

    @Test(
        .timeLimit(.minutes(10)),
        arguments: [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nno field\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n",
            String(repeating: "a", count: Limits.controlReplyHeadBytes + 1),
        ])
    func whatIsNoReply(answer: String) throws {
        guard case .malformed? = try failure(.say(answer)) else {
            Issue.record("taken for a reply: \(answer.prefix(40))")
            return
        }
    }

    @Test(.timeLimit(.minutes(10)), arguments: [1001, 1 << 40]) func aReplyThatIsTooLarge(bytes: Int) throws {
        guard case .replyTooLarge? = try failure(.say("HTTP/1.1 200 OK\r\nContent-Length: \(bytes)\r\n\r\n")) else {
            Issue.record("taken for a reply")
            return
        }
    }

    @Test(.timeLimit(.minutes(10))) func patienceEnds() throws {
        guard case .timeout? = try failure(.silence, patience: .milliseconds(50)) else {
            Issue.record("a reply out of nothing")
            return
        }
    }

    @Test(arguments: [("/nonexistent/socket", ENOENT), ("/dev/null", ECONNREFUSED), ("/" + String(repeating: "x", count: 200), ENAMETOOLONG)])
    func theNumberOfAFailedConnectIsReadable(path: String, number: Int32) {
        #expect(Self.connectFailure(path) == number)
    }

    /// Nobody accepts, and the kernel's queue is full.
    @Test(.timeLimit(.minutes(10))) func aServerThatTakesNobody() throws {
        let full = try ListeningSocket(path: path)
        #expect(listen(full.descriptor, 0) == 0)
        let waiting = try RawConnection(socket: path)
        #expect(Self.connectFailure(path) == EAGAIN)
        withExtendedLifetime(waiting) {}
    }

    private static func connectFailure(_ path: String) -> Int32? {
        do throws(HTTPClientError) {
            _ = try UnixHTTPClient(path: path).request("GET", "/", patience: .milliseconds(50))
            return nil
        } catch {
            guard case .connect(let info) = error else { return nil }
            return info.errnoCode
        }
    }
}
