import RelayControl
import RelayTestSupport
import Testing

/// `chatctl client contacts` against a relay where people ask first.
@Suite("chatctl client contacts") struct ClientContactsTests {
    /// What `contacts list --json` prints.
    private struct Listing: Decodable {
        struct Contact: Decodable {
            struct Conflict: Decodable {
                var decided: [String]
                var mine: String
                var relay: String
            }
            var name: String
            var state: String
            var category: String?
            var waiting: [String]?
            var conflict: Conflict?
        }
        var contacts: [Contact]
    }

    private struct Person {
        let relay: RelayProcess
        let state: String

        init(_ relay: RelayProcess, _ user: String, _ device: String) async throws {
            self.relay = relay
            state = relay.directory.file("\(user).\(device)")
            let enrolled = try await run("enrol", try await relay.chatctl.invite(user).link, "--device", device)
            guard enrolled.succeeded else { throw SupportFailure("\(enrolled)") }
        }

        func run(_ arguments: String...) async throws -> Chatctl.Result {
            try await relay.chatctl.run(["client"] + arguments + ["--state", state])
        }

        func decide(_ arguments: String...) async throws -> Chatctl.Result {
            try await relay.chatctl.run(["client", "contacts"] + arguments + ["--state", state])
        }

        /// Connects, so that this device has what the others did.
        func catchUp() async throws {
            let result = try await run("listen", "--until-caught-up", "--timeout", "60")
            guard result.succeeded else { throw SupportFailure("\(result)") }
        }

        func contacts() async throws -> [Listing.Contact] {
            let report: Listing = try await relay.chatctl.json(["client", "contacts", "list", "--state", state])
            return report.contacts
        }
    }

    private func started() async throws -> RelayProcess {
        let relay = try RelayProcess(everyoneIsContact: false)
        try await relay.start()
        for name in ["alice", "bob"] { _ = try await relay.chatctl.addUser(name) }
        return relay
    }

    @Test(.timeLimit(.minutes(10))) func asksAcceptsAndSends() async throws {
        let relay = try await started()
        let (alice, bob) = (try await Person(relay, "alice", "phone"), try await Person(relay, "bob", "phone"))
        let early = try await alice.run("send", "too early", "--to", "bob")
        #expect(early.status == .exited(1) && early.standardError.contains("(not_contact)"), "\(early)")
        let asked = try await alice.decide("request", "bob", "--category", "friends")
        #expect(asked.succeeded && asked.standardOutput == "bob is asked.\n", "\(asked)")
        let heard = try await bob.run("listen", "--until-caught-up", "--timeout", "60")
        #expect(heard.standardError.contains("alice asks to be your contact"), "\(heard)")
        #expect(try await bob.contacts().map(\.state) == ["incoming"])
        #expect(try await bob.decide("list", "--only", "accepted").standardError == "There are no contacts.\n")
        #expect(try await bob.decide("accept", "alice").succeeded)
        #expect(try await alice.run("send", "hello", "--to", "bob").succeeded)
        let received = try await bob.run("listen", "--count", "1", "--timeout", "60")
        #expect(received.standardOutput.hasSuffix("alice: hello\n"), "\(received)")
        let friends: Listing = try await relay.chatctl.json([
            "client", "contacts", "list", "--category", "friends", "--state", alice.state,
        ])
        #expect(friends.contacts.map(\.name) == ["bob"] && friends.contacts.first?.state == "accepted")

        let unknown = try await bob.decide("accept", "carol")
        #expect(unknown.status == .exited(1) && unknown.standardError.contains("(user_unknown)"), "\(unknown)")
        let own = try await bob.decide("block", "bob")
        #expect(own.status == .exited(64), "\(own)")
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func decidesWithoutARelayAndResolvesAConflict() async throws {
        let relay = try await started()
        let (phone, laptop) = (try await Person(relay, "alice", "phone"), try await Person(relay, "alice", "laptop"))
        let bob = try await Person(relay, "bob", "phone")
        #expect(try await phone.decide("request", "bob").succeeded)
        #expect(try await bob.decide("accept", "alice").succeeded)
        try await phone.catchUp()
        try await laptop.catchUp()

        await relay.terminate()
        let kept = try await laptop.decide("block", "bob", "--later")
        #expect(kept.succeeded && kept.standardOutput.hasPrefix("Kept;"), "\(kept)")
        let report = try await laptop.contacts()
        #expect(report.first?.state == "blocked_by_me" && report.first?.waiting == ["block"])
        let refused = try await laptop.run("send", "no", "--to", "bob")
        #expect(refused.status == .exited(1) && refused.standardError.contains("you block bob"), "\(refused)")
        let impatient = try await laptop.decide("label", "bob", "work", "--timeout", "1s")
        #expect(impatient.status == .exited(75), "\(impatient)")

        try await relay.start()
        #expect(try await phone.decide("block", "bob").succeeded)
        #expect(try await phone.decide("unblock", "bob").succeeded)
        let sent = try await laptop.run("listen", "--until-caught-up", "--timeout", "60")
        #expect(sent.succeeded && sent.standardError.contains("is in conflict"), "\(sent)")
        let conflict = try #require(try await laptop.contacts().first?.conflict)
        #expect(conflict.decided == ["block", "label “work”"] && conflict.mine == "blocked_by_me" && conflict.relay == "accepted")
        let again = try await laptop.decide("delete", "bob")
        #expect(again.status == .exited(1) && again.standardError.contains("contacts resolve bob"), "\(again)")
        #expect(try await laptop.decide("resolve", "bob", "--repeat-mine").succeeded)
        let after = try await laptop.contacts().first
        #expect(after?.state == "blocked_by_me" && after?.category == "work" && after?.conflict == nil && after?.waiting == nil)
        #expect(try await laptop.decide("resolve", "bob", "--keep-relay").status == .exited(64))
        try await bob.catchUp()
        let blocked = try await bob.run("send", "why?", "--to", "alice")
        #expect(blocked.status == .exited(1) && blocked.standardError.contains("alice blocks you"), "\(blocked)")
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func theProbeAsksFirst() async throws {
        let relay = try await started()
        let result = try await relay.chatctl.run("probe")
        #expect(result.succeeded && result.standardOutput.contains("become contacts"), "\(result)")
        await relay.terminate()
    }
}
