import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// Safety numbers through the real programs.
@Suite("Safety numbers") struct SafetyNumberTests {
    private struct Report: Decodable {
        var safetyNumber: String
        var verified: String
        var devices: Int
    }
    private struct Letters: Decodable {
        struct Letter: Decodable { var code: String }
        var dead: [Letter]
    }

    @Test(.timeLimit(.minutes(10))) func nothingIsSentToOtherDevicesThanThoseVerified() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let directory = try TemporaryDirectory()
        let chatctl = relay.chatctl
        @discardableResult func client(_ arguments: String...) async throws -> Chatctl.Result {
            let result = try await chatctl.run(["client"] + arguments)
            #expect(result.succeeded, "\(arguments): \(result.standardError)")
            return result
        }
        func report(_ name: String, _ state: String) async throws -> Report {
            try await chatctl.json(["client", "safety", "show", name, "--state", directory.file(state)])
        }
        for user in ["alice", "bob"] {
            let link = try await chatctl.addUser(user).invite.link
            try await client("enrol", link, "--state", directory.file(user), "--device", "phone")
        }
        try await client("send", "hello", "--to", "bob", "--state", directory.file("alice"))
        try await client("listen", "--until-caught-up", "--state", directory.file("bob"))

        let number = try await report("bob", "alice")
        #expect(number.verified == "no" && number.devices == 1)
        #expect(try await report("alice", "bob").safetyNumber == number.safetyNumber)
        let wrong = try await chatctl.run(
            "client", "safety", "verify", "bob", "--number", String(number.safetyNumber.reversed()), "--state", directory.file("alice"))
        #expect(wrong.status == .exited(64) && wrong.standardError.contains("nothing was verified"))
        let stranger = try await chatctl.run("client", "safety", "show", "nobody", "--state", directory.file("alice"))
        #expect(stranger.status == .exited(64))
        try await client("safety", "verify", "bob", "--number", number.safetyNumber, "--state", directory.file("alice"))
        #expect(try await report("bob", "alice").verified == "yes")
        try await client("send", "verified", "--to", "bob", "--state", directory.file("alice"))

        // Somebody adds a device for bob: the relay names it, and alice's device sends nothing to it.
        let invite = try await chatctl.invite("bob").link
        try await client("enrol", invite, "--state", directory.file("tablet"), "--device", "tablet")
        let stopped = try await chatctl.run("client", "send", "secret", "--to", "bob", "--state", directory.file("alice"))
        #expect(!stopped.succeeded && stopped.standardError.contains("safety show bob"), "\(stopped)")
        #expect(try await report("bob", "alice").verified == "changed")
        let letters: Letters = try await chatctl.json(["client", "outbox", "--state", directory.file("alice")])
        #expect(letters.dead.map(\.code) == ["safety_number_changed"])
        let heard = try await client("listen", "--until-caught-up", "--state", directory.file("tablet"))
        #expect(!heard.standardOutput.contains("secret"))

        // Compared again.
        let next = try await report("bob", "alice")
        #expect(next.safetyNumber != number.safetyNumber && next.devices == 2)
        try await client("safety", "verify", "bob", "--number", next.safetyNumber, "--state", directory.file("alice"))
        try await client("send", "again", "--to", "bob", "--state", directory.file("alice"))
        // What was stopped goes out when the person says so.
        try await client("outbox", "--retry-dead", "--state", directory.file("alice"))
        try await client("listen", "--until-caught-up", "--state", directory.file("alice"))
        let all = try await client("listen", "--until-caught-up", "--state", directory.file("tablet")).standardOutput
        #expect(all.contains("again") && all.contains("secret"))
        try await client("safety", "forget", "bob", "--state", directory.file("alice"))
        #expect(try await report("bob", "alice").verified == "no")
        #expect(await relay.terminate() == .exited(0))
    }
}
