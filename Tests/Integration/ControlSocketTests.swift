import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// The control socket with curl, as chatctl(1) shows it, and for people who may not.
@Suite("Control socket") struct ControlSocketTests {
    struct Failure: Decodable {
        var code: String
        var message: String
        var hint: String?
    }

    @Test(.timeLimit(.minutes(10))) func curlExamplesWork() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let control = relay.control

        let hello = try await control.request("GET", "/v1/hello")
        #expect(hello.status == 200 && hello.body.contains("\"protocolVersion\""), "\(hello)")
        let status = try await control.request("GET", "/v1/status")
        #expect(status.status == 200 && status.body.contains("\"listening\""), "\(status)")
        let added = try await control.request("POST", "/v1/user/add", body: #"{"user": "alice"}"#)
        #expect(added.status == 200 && added.body.contains("\"link\""), "\(added)")
        let users = try await control.request("GET", "/v1/user/list")
        #expect(users.status == 200 && users.body.contains("\"alice\""), "\(users)")
        let again = try await control.request("POST", "/v1/user/add", body: #"{"user": "alice"}"#)
        #expect(again.status == 409, "\(again)")
        #expect(try JSONDecoder().decode(Failure.self, from: Data(again.body.utf8)).code == "already_exists")
        let removed = try await control.request("POST", "/v1/user/remove", body: #"{"user": "alice", "reason": "end of the example"}"#)
        #expect(removed.status == 200, "\(removed)")
        let audit = try await control.call(AuditList())
        #expect(audit.entries.first?.reason == "end of the example")
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func badRequestsGetTypedErrors() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let cases: [(method: String, path: String, body: String?, status: Int)] = [
            ("POST", "/v1/user/add", "{", 400),
            ("POST", "/v1/user/add", "{}", 400),
            ("POST", "/v1/user/add", #"{"user": 7}"#, 400),
            ("POST", "/v1/user/add", #"{"user": ""}"#, 400),
            ("POST", "/v1/user/add", #"{"user": "a b"}"#, 400),
            ("POST", "/v1/user/show", #"{"user": "nobody"}"#, 404),
            ("POST", "/v1/device/revoke", #"{"device": "12345"}"#, 404),
            ("POST", "/v1/device/revoke", #"{"device": "-1"}"#, 400),
            ("POST", "/v1/no/such", "{}", 404),
            ("GET", "/", nil, 404),
        ]
        for (method, path, body, status) in cases {
            let reply = try await relay.control.request(method, path, body: body)
            #expect(reply.status == status, "\(method) \(path) \(body ?? ""): \(reply)")
            let failure = try? JSONDecoder().decode(Failure.self, from: Data(reply.body.utf8))
            #expect(failure?.message.isEmpty == false, "\(method) \(path) \(body ?? ""): \(reply)")
        }
        let long = try await relay.control.request("POST", "/v1/user/add", body: "{\"user\": \"" + String(repeating: "x", count: 200_000) + "\"}")
        #expect((400..<500).contains(long.status), "\(long.status)")
        #expect(try await relay.chatctl.status().users == 0)
        await relay.terminate()
    }

    /// Needs root: nobody else can become another user.
    @Test(.enabled(if: geteuid() == 0, "needs root to become another user"), .timeLimit(.minutes(10)))
    func aStrangerIsNotPermitted() async throws {
        let relay = try RelayProcess()
        // The way to the socket is open; the caller's credentials must decide.
        chmod(relay.directory.path, 0o755)
        try await relay.start()
        // The build directory may be closed to others, so the program comes along.
        let program = relay.directory.file("chatctl")
        // Copied by a program of its own: a file that this process wrote could still be open in another child when it is run.
        #expect(try await Subprocess.run("install", ["-m", "755", Programs.chatctl, program]).status == .exited(0))
        for arguments in [["user", "add", "mallory"], ["user", "list"], ["status"]] {
            let result = try await Subprocess.run(
                "setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", program] + arguments, environment: relay.chatctl.environment)
            #expect(result.status == .exited(77), "\(arguments): \(result)")
            #expect(result.standardOutput.isEmpty)
            #expect(result.standardError.contains("chatctl: hint: "), "\(result.standardError)")
        }
        let curl = try await Subprocess.run(
            "setpriv",
            [
                "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "--silent", "--unix-socket", relay.controlSocket, "--write-out",
                "\n%{http_code}",
                "http://relayd/v1/status",
            ])
        #expect(curl.standardOutput.hasSuffix("\n403"), "\(curl)")
        #expect(try await relay.chatctl.status().users == 0)
        await relay.terminate()
    }
}
