import RelayControl
import RelayTestSupport
import Testing

/// `chatctl client keys`, and what people see of messages that could not be read.
@Suite("chatctl client keys") struct ClientKeysTests {
    /// What `keys show --json` prints.
    private struct Report: Decodable {
        struct Key: Decodable, Equatable {
            var version: UInt32?
            var state: String
            var fingerprint: String
        }
        var keys: [Key]
    }
    private struct OperatorKey: Decodable { var agreementFingerprint: String }
    private struct Status: Decodable { var device: String }
    private struct History: Decodable {
        struct Message: Decodable {
            var text: String?
            var problem: String?
        }
        var messages: [Message]
    }

    @Test(.timeLimit(.minutes(10))) func rotatesAndAsksAgain() async throws {
        let relay = try RelayProcess(everyoneIsContact: true)
        try await relay.start()
        let (chatctl, directory) = (relay.chatctl, try TemporaryDirectory())
        func client(_ user: String, _ arguments: String...) async throws -> Chatctl.Result {
            try await chatctl.run(["client"] + arguments + ["--state", directory.file(user)])
        }
        func good(_ result: Chatctl.Result) throws -> Chatctl.Result {
            guard result.succeeded else { throw SupportFailure("\(result)") }
            return result
        }
        func keys(_ user: String) async throws -> [Report.Key] {
            let report: Report = try await chatctl.json(["client", "keys", "show", "--state", directory.file(user)])
            return report.keys
        }
        func history(_ user: String) async throws -> [History.Message] {
            let report: History = try await chatctl.json(["client", "history", "--state", directory.file(user)])
            return report.messages
        }
        for user in ["alice", "bob"] {
            let link = try await chatctl.addUser(user).invite.link
            _ = try good(try await client(user, "enrol", link, "--device", "phone"))
        }
        let first = try await keys("bob")
        #expect(first.map(\.version) == [1] && first.map(\.state) == ["current"])
        _ = try good(try await client("alice", "send", "hello", "--to", "bob"))

        // The former key is kept until the mailbox was received, whatever its grace.
        let rotated = try good(try await client("bob", "keys", "rotate", "--grace", "0"))
        #expect(rotated.standardOutput.hasPrefix("The relay has this device's key number 2.\n"), "\(rotated)")
        let second = try await keys("bob")
        #expect(second.map(\.version) == [2, 1] && second.map(\.state) == ["current", "former"])
        #expect(second.last?.fingerprint == first.first?.fingerprint)
        let status: Status = try await chatctl.json(["client", "status", "--state", directory.file("bob")])
        let seen: OperatorKey = try await chatctl.json(["key", "show", status.device])
        #expect(seen.agreementFingerprint == second.first?.fingerprint)
        let heard = try good(try await client("bob", "listen", "--until-caught-up", "--timeout", "60"))
        #expect(heard.standardOutput.hasSuffix("alice: hello\n"), "\(heard)")
        #expect(try await keys("bob").map(\.version) == [2])

        // Forgotten at once: what was on its way is asked for again, and comes into its place.
        _ = try good(try await client("alice", "send", "on its way", "--to", "bob"))
        _ = try good(try await client("bob", "keys", "rotate", "--forget-former"))
        let asked = try good(try await client("bob", "listen", "--until-caught-up", "--timeout", "60"))
        #expect(asked.standardError.contains("a message of alice could not be read: asked phone for it again\n"), "\(asked)")
        #expect(try await history("bob").map(\.problem) == [nil, "could not be read: asked phone for it again"])
        let answered = try good(try await client("alice", "listen", "--until-caught-up", "--timeout", "60"))
        #expect(answered.standardError.contains("bob could not read a message: it is sent again"), "\(answered)")
        let recovered = try good(try await client("bob", "listen", "--until-caught-up", "--timeout", "60"))
        #expect(recovered.standardError.contains("a message that could not be read was sent again: "), "\(recovered)")
        #expect(recovered.standardOutput.isEmpty)
        #expect(try await history("bob").map(\.text) == ["hello", "on its way"])
        #expect(try await history("alice").map(\.text) == ["hello", "on its way"])

        // Without a relay the new key waits.
        await relay.terminate()
        let later = try await client("bob", "keys", "rotate")
        #expect(later.status == .exited(69) && later.standardError.contains("the new key is kept"), "\(later)")
        #expect(try await keys("bob").map(\.state) == ["pending", "current"])
        try await relay.start()
        let finished = try good(try await client("bob", "listen", "--until-caught-up", "--timeout", "60"))
        #expect(finished.standardError.contains("this device has a new agreement key, number 4"), "\(finished)")
        #expect(try await keys("bob").map(\.version) == [4, 3])
        #expect(await relay.terminate() == .exited(0))
    }
}
