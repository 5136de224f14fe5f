import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// `chatctl client` without a relay.
@Suite struct ClientCommandTests {
    private let chatctl = Chatctl(socket: "/nonexistent/control.sock")

    // MARK: Lines

    private func lines(_ bytes: [UInt8]) throws -> [String] {
        let directory = try TemporaryDirectory()
        let path = directory.file("input")
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return try LineReader.lines(of: path)
    }

    @Test func eachLineIsAMessage() throws {
        #expect(try lines(Array("one\n\nthree".utf8)) == ["one", "", "three"])
        #expect(try lines(Array("one\n".utf8)) == ["one"])
        #expect(try lines([]) == [])
        #expect(try lines(Array("\n".utf8)) == [""])
        // Nothing but the line feed is taken away, and nothing is normalised.
        let text = "e\u{301}\t\r"
        #expect(try lines(Array(text.utf8) + [10]).map { Array($0.utf8) } == [Array(text.utf8)])
    }

    @Test func whatIsNotUTF8IsRefused() {
        #expect {
            _ = try lines(Array("fine\n".utf8) + [0xff, 0xfe, 10])
        } throws: { error in
            (error as? ControlError)?.message.hasPrefix("line 2 of ") == true
        }
    }

    // MARK: Exit statuses

    @Test(
        "The client's errors have chatctl's exit statuses",
        arguments: [
            (ClientError.link("x"), 64), (.userName("x"), 64), (.unreachable("x"), 69), (.locked(path: "x"), 75), (.timeout("x"), 75),
            (.outboxFull(limit: 1), 75), (.refused(Refusal(code: "overloaded")), 75), (.refused(Refusal(code: "recipient_gone")), 1),
            (.revoked(""), 77),
            (.replaced, 1), (.notEnrolled(path: "x"), 78), (.alreadyEnrolled(path: "x"), 78), (.state(path: "x", problem: "y", hint: "z"), 78),
            (.store("x"), 1), (.groupUnknown("x"), 1), (.chatUnknown("x"), 1), (.ambiguousGroup(title: "x", [ChatID(1), ChatID(2)]), 64),
            (.request("x", hint: nil), 64), (.refused(Refusal(code: "rate_limited")), 75), (.youBlock("x"), 1), (.blocked("x"), 1),
            (.contactConflict("x"), 1), (.decisionsFull(limit: 1), 75),
        ])
    func exitStatus(error: ClientError, status: Int) {
        let translated = ControlError(error)
        #expect(translated.code.exitStatus == Int32(status))
        #expect(translated.message == error.description)
        #expect(translated.hint == error.hint)
    }

    @Test func aDirectoryWithoutADeviceExitsWith78() async throws {
        let directory = try TemporaryDirectory()
        for verb in [
            ["listen"], ["history"], ["status"], ["outbox"], ["send", "--to", "bob", "text"], ["send", "--group", "team", "text"],
            ["delete", "3", "--chat", "bob"], ["group", "create", "team", "--with", "bob"], ["group", "add", "team", "bob"],
            ["group", "leave", "team"],
            ["group", "list"], ["group", "show", "team"], ["contacts", "list"], ["contacts", "block", "bob", "--later"],
            ["contacts", "request", "bob", "--category", "work"], ["contacts", "label", "bob", "work"],
            ["contacts", "resolve", "bob", "--keep-relay"], ["status", "--message", "3", "--chat", "bob"],
            ["keys", "show"], ["keys", "rotate"], ["keys", "rotate", "--grace", "0", "--forget-former"],
        ] {
            let result = try await chatctl.run(["client"] + verb + ["--state", directory.file("none")])
            #expect(result.status == .exited(78), "\(verb)")
            #expect(result.standardError.contains("chatctl: hint: enrol first"), "\(verb)")
        }
    }

    @Test(arguments: [
        ["client", "send", "--state", "x", "text"], ["client", "send", "--state", "x", "--to", "b", "text", "--file", "f"],
        ["client", "send", "--state", "x", "--to", "b", "--wait", "ever", "t"], ["client", "listen", "--state", "x", "--count", "0"],
        ["client", "listen", "--state", "x", "--timeout", "0"], ["client", "history", "--state", "x", "--raw", "--json"], ["client", "status"],
        ["client", "enrol", "--state", "x", "--device", "d"], ["client", "send", "--state", "x", "--to", "b", "--group", "g", "t"],
        ["client", "delete", "--state", "x", "--chat", "c"], ["client", "delete", "--state", "x", "--chat", "c", "0"],
        ["client", "delete", "--state", "x", "3"], ["client", "status", "--state", "x", "--message", "3"],
        ["client", "group", "role", "--state", "x", "team", "king", "bob"], ["client", "group", "create", "--state", "x", "team"],
        ["client", "contacts", "resolve", "--state", "x", "bob"], ["client", "contacts", "block", "--state", "x"],
        ["client", "contacts", "resolve", "--state", "x", "bob", "--keep-relay", "--repeat-mine"],
        ["client", "contacts", "list", "--state", "x", "--only", "friends"], ["client", "keys", "rotate", "--state", "x", "--grace", "31d"],
        ["client", "keys", "rotate", "--state", "x", "--grace", "soon"], ["client", "keys", "rotate", "--state", "x", "--grace", "-1"],
        ["client", "keys", "rotate", "--state", "x", "--grace", "1d", "--forget-former"],
        ["client", "keys", "show"],
    ])
    func usage(arguments: [String]) async throws {
        let result = try await chatctl.run(arguments)
        #expect(result.status == .exited(64))
        #expect(result.standardError.hasPrefix("chatctl: error: "))
    }

    @Test func aProbeWithoutARelayNamesItsStep() async throws {
        let result = try await chatctl.run("probe")
        #expect(result.status == .exited(69))
        #expect(result.standardOutput.contains("reach relayd"))
        #expect(result.standardError.contains("the probe failed at “reach relayd”"))
        let json = try await chatctl.run("probe", "--json")
        let report = try JSONDecoder().decode(ProbeReport.self, from: Data(json.standardOutput.utf8))
        #expect(!report.ok && report.steps.count == 1 && report.steps.first?.error != nil)
    }
}
