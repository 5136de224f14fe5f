import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// What a person at a shell relies on: exit statuses, data on one stream and talk on the other, JSON as it is documented.
@Suite("chatctl") struct ChatctlTests {
    @Test(.timeLimit(.minutes(10))) func addsShowsAndRemovesUsers() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let chatctl = relay.chatctl
        let added = try await chatctl.run("user", "add", "Alice")
        #expect(added.succeeded && added.standardOutput.contains("\(relay.url)/enrol#"), "\(added)")
        let record: UserRecord = try await chatctl.json(["user", "show", "alice"])
        #expect(record.name == "alice" && record.openInvites == 1 && record.devices.isEmpty)
        let list: UserList.Reply = try await chatctl.json(["user", "list"])
        #expect(list.users.map(\.name) == ["alice"])
        let invite = try await chatctl.invite("alice")
        let invites: InviteList.Reply = try await chatctl.json(["invite", "list"])
        #expect(invites.invites.count == 2)
        #expect(try await chatctl.run("invite", "revoke", invite.id.description, "--yes").succeeded)
        #expect(try await chatctl.run("user", "remove", "alice", "--yes").succeeded)
        #expect(try await chatctl.run("user", "show", "alice").status == .exited(1))
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func exitStatusesAndStreams() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let cases: [(arguments: [String], status: Int32)] = [
            (["user", "show", "nobody"], 1), (["user", "add"], 64), (["user", "add", "not a name"], 64), (["frobnicate"], 64),
            (["device", "revoke", "42", "--yes"], 1), (["device", "show", "x"], 64), (["user", "remove", "nobody"], 64),
        ]
        for (arguments, status) in cases {
            let result = try await relay.chatctl.run(arguments)
            #expect(result.status == .exited(status), "\(arguments): \(result)")
            #expect(result.standardOutput.isEmpty, "\(arguments): \(result)")
            #expect(result.standardError.hasPrefix("chatctl: error: "), "\(arguments): \(result)")
        }
        await relay.terminate()
        let away = try await relay.chatctl.run("status")
        #expect(away.status == .exited(69) && away.standardError.contains("chatctl: hint: "), "\(away)")
    }

    /// Whatever the relay's policy is.
    @Test(.timeLimit(.minutes(10)), arguments: [true, false]) func theProbeGetsThrough(everyone: Bool) async throws {
        let relay = try RelayProcess(everyoneIsContact: everyone)
        try await relay.start()
        let result = try await relay.chatctl.run("probe")
        #expect(result.succeeded, "\(result.standardOutput) \(result.standardError)")
        #expect(try await relay.chatctl.status().users == 0)
        #expect(await relay.terminate() == .exited(0))
    }
}
