import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// Presence through the real programs, with raw connections beside the client: what a device of another make meets.
@Suite("Presence") struct PresenceIntegrationTests {
    private static func contacts(_ relay: RelayProcess, _ names: [String]) async throws -> [WireDevice] {
        var devices: [WireDevice] = []
        for name in names {
            let link = try InviteLink(try await relay.chatctl.addUser(name).invite.link)
            devices.append(try WireDevice(port: relay.port, code: link.code))
        }
        for name in names.dropFirst() {
            let result = try await relay.chatctl.run("contact", "add", names[0], name, "--reason", "test")
            #expect(result.succeeded, "\(result.standardError)")
        }
        return devices
    }

    /// A connection that has patience.
    private static func connect(_ device: WireDevice) throws -> RawConnection {
        let connection = try RawConnection(port: device.port, timeout: 300)
        #expect(try connection.upgrade(token: device.token).status == 101)
        _ = try connection.readText(containing: "caughtUp")
        return connection
    }

    private static func takePart(_ connection: RawConnection, _ mode: String = "WATCH") throws -> String {
        connection.sendText("{\"requestId\": \"9\", \"presence\": {\"mode\": \"PRESENCE_MODE_\(mode)\"}}")
        return try connection.readText(containing: "presenceTerms")
    }

    @Test(.timeLimit(.minutes(10))) func aSilentDeviceGoesAndComesBack() async throws {
        // Longer than a change waits for the one before to be told.
        let offlineAfter = 2 * Int(Limits.presenceHold) + 2
        let relay = try RelayProcess(everyoneIsContact: false, offlineAfter: offlineAfter)
        try await relay.start()
        let devices = try await Self.contacts(relay, ["alice", "bob"])
        let (alice, bob) = (try Self.connect(devices[0]), try Self.connect(devices[1]))
        let terms = try Self.takePart(bob)
        #expect(
            terms.contains("\"heartbeatMs\":1000") && terms.contains("\"offlineAfterMs\":\(offlineAfter)000") && terms.contains("\"requestId\":\"9\"")
        )
        // Nobody is there: a snapshot of nothing.
        #expect(try bob.readText(containing: "snapshot").contains("\"snapshot\":true"))
        _ = try Self.takePart(alice, "SHARE")
        // Bob, too, is silent: what he is told does not depend on it.
        let online = try bob.readText(containing: "\"online\":true")
        #expect(online.contains("\"userId\":\"\(devices[0].user)\""))
        let offline = try bob.readText(containing: "lastSeenMs")
        #expect(!offline.contains("\"online\":true"))
        // An unasked pong, which is not answered.
        #expect(alice.send(RawConnection.frame(opcode: 10, [])))
        _ = try bob.readText(containing: "\"online\":true")
        // Logged out, with the connection still open.
        _ = try Self.takePart(alice, "LEAVE")
        _ = try bob.readText(containing: "lastSeenMs")
        try alice.ping()
        _ = try Self.takePart(alice)
        _ = try bob.readText(containing: "\"online\":true")
        // Closed in order.
        alice.send(RawConnection.frame(opcode: 8, [0x03, 0xE8]))
        _ = try bob.readText(containing: "lastSeenMs")
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func wrongRequestsAreAnswered() async throws {
        let relay = try RelayProcess(everyoneIsContact: false)
        try await relay.start()
        let device = try await Self.contacts(relay, ["alice"])[0]
        let connection = try device.connect()
        connection.sendText("{\"requestId\": \"3\", \"presence\": {}}")
        #expect(try connection.readText(containing: "\"requestId\":\"3\"").contains("malformed"))
        connection.sendText("{\"requestId\": \"4\", \"presence\": {\"mode\": 77}}")
        #expect(try connection.readText(containing: "\"requestId\":\"4\"").contains("malformed"))
        let raw = try RawConnection(port: relay.port)
        let empty = try raw.json("PUT", "/v1/presence", "{}", headers: device.authorization)
        #expect(empty.status == 400 && empty.text.contains("share_status"))
        let group = try raw.json("GET", "/v1/groups/5/presence", "", headers: device.authorization)
        #expect(group.status == 404 && group.text.contains("chat_unknown"))
        #expect(try raw.json("GET", "/v1/presence", "").status == 401)
        var refused: RawConnection.Reply?
        for _ in 0..<100 where refused == nil {
            let reply = try raw.json("GET", "/v1/presence", "", headers: device.authorization)
            if reply.status == 429 { refused = reply } else { #expect(reply.status == 200) }
        }
        #expect(refused?.text.contains("rate_limited") == true)
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func theReferenceClientShowsIt() async throws {
        let relay = try RelayProcess(everyoneIsContact: false, offlineAfter: 60)
        try await relay.start()
        let chatctl = relay.chatctl
        var devices: [TestDevice] = []
        for name in ["alice", "bob"] {
            let link = try await chatctl.addUser(name).invite.link
            devices.append(try await TestDevice(name: name, link: link, directory: StateDirectory(relay.directory.file(name))))
        }
        let (alice, bob) = (devices[0], devices[1])
        #expect(try await chatctl.run("contact", "add", "alice", "bob", "--reason", "test").succeeded)
        try await alice.goOnline()
        try await alice.session.takePart(.share)
        try await bob.goOnline()
        _ = try await bob.session.createGroup("team", with: ["alice"])
        try await bob.session.waitUntilSent(timeout: .seconds(300))
        try await bob.close()
        struct Report: Decodable {
            struct Presence: Decodable {
                var user: String
                var online: Bool
                var lastSeen: String?
            }
            var contacts: [Presence]?
            var members: [Presence]?
        }
        func bobRuns(_ arguments: String...) async throws -> Report {
            let result = try await chatctl.run(["client", "presence"] + arguments + ["--state", bob.directory.path, "--json"])
            #expect(result.succeeded, "\(result.standardError)")
            return try JSONDecoder().decode(Report.self, from: Data(result.standardOutput.utf8))
        }
        #expect(try await bobRuns("list").contacts?.map(\.user) == ["alice"])
        #expect(try await bobRuns("group", "team").members?.map(\.online) == [true])
        // For people.
        let page = try await chatctl.run("client", "presence", "--state", bob.directory.path)
        #expect(page.succeeded && page.standardOutput.contains("alice") && page.standardOutput.contains("online"), "\(page.standardError)")
        let summary: PresenceSummary.Reply = try await chatctl.json(["presence", "summary"])
        #expect(summary.usersOnline.atLeast >= 1 && summary.heartbeatSeconds == 1)
        let shown: UserRecord = try await chatctl.json(["user", "show", "alice"])
        #expect(shown.lastSeenAt != nil)

        try await alice.close()
        let away = try #require(try await bobRuns("list").contacts?.first)
        #expect(!away.online && away.lastSeen != nil)
        let hidden = try await chatctl.run("client", "presence", "hide", "--state", alice.directory.path)
        #expect(hidden.succeeded && hidden.standardOutput.contains("hidden"), "\(hidden.standardError)")
        #expect(try await bobRuns("list").contacts?.isEmpty == true)
        #expect(try await bobRuns("group", "team").members?.isEmpty == true)
        #expect(try await chatctl.json(["user", "show", "alice"], as: UserRecord.self).lastSeenAt == nil)
        #expect(try await chatctl.run("client", "presence", "show", "--without-last-seen", "--state", alice.directory.path).succeeded)

        let archive = relay.directory.file("alice.json")
        let export = try await chatctl.run("user", "export", "alice", "--output", archive, "--reason", "test")
        #expect(export.succeeded, "\(export.standardError)")
        let text = try String(contentsOfFile: archive, encoding: .utf8)
        #expect(text.contains("\"sharesLastSeen\"") && !text.contains("\"lastSeenAt\""))
        await relay.terminate()
    }
}
