import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

/// `chatctl privacy audit` on a relay that has seen everything: it finds nothing, and then each thing that is planted.
@Suite("Privacy audit", .timeLimit(.minutes(10))) struct PrivacyAuditTests {
    private struct Report: Decodable {
        struct Check: Decodable {
            var name: String
            var state: String
            var detail: String
        }
        struct Finding: Decodable {
            var check: String
            var place: String
            var what: String
        }
        var checks: [Check]
        var findings: [Finding]
        var findingCount: Int
    }

    private static let users = ["quetzalcoatlus", "archaeopteryx", "hesperornis", "iguanodon"]

    @Test func nothingIsFoundAndWhatIsPlantedIs() async throws {
        let relay = try RelayProcess(limits: ["messages_per_device": 2], everyoneIsContact: false, metrics: true, logLevel: "trace")
        try await relay.start()
        let states = try TemporaryDirectory()
        var canaries: [String] = Self.users
        var devices: [String: TestDevice] = [:]
        for user in Self.users {
            let added = try await relay.chatctl.addUser(user)
            canaries += [added.user.id.description, added.invite.code, added.invite.id.description]
            let device = try await TestDevice(
                name: "\(user).fossilphone", link: added.invite.link, directory: StateDirectory(states.file(user)))
            canaries.append(device.account.device.description)
            try await device.goOnline()
            devices[user] = device
        }
        canaries.append("fossilphone")
        canaries += try await relay.chatctl.devices().map(\.fingerprint)
        let (alice, bob) = (try #require(devices[Self.users[0]]), try #require(devices[Self.users[1]]))
        let carol = try #require(devices[Self.users[2]])

        // A stranger is refused, people become contacts, write, make a group, delete, block.
        _ = try await alice.session.send("the amber room, too early", to: Self.users[1])
        for peer in [Self.users[1], Self.users[2]] {
            #expect(
                try await relay.chatctl.run("contact", "add", Self.users[0], peer, "--reason", "they met at the fleamarket").succeeded)
        }
        canaries.append("fleamarket")
        let text = "the amber room is behind the second waterfall"
        canaries += [text, "second waterfall"]
        _ = try await alice.session.send(text, to: Self.users[1])
        try await bob.wait(for: "the message") { $0.received.contains { $0.text == text } }
        let entry = try #require(bob.log.received.first)
        canaries += [entry.chat.description, entry.message.description]
        try await bob.session.markRead(entry.chat, entry.chatSeq)
        _ = try await alice.session.createGroup("the excavators", with: [Self.users[1], Self.users[2]])
        canaries.append("excavators")
        try await carol.wait(for: "the group") { !$0.changes.isEmpty }
        try await alice.session.delete([entry.chatSeq], in: entry.chat, forEveryone: true)
        _ = try await carol.session.decide(.block, about: Self.users[0])
        // More than the limit allows.
        for number in 0..<150 { _ = try? await alice.session.send("flood \(number)", to: Self.users[1]) }

        // Bad input.
        let code = try await relay.chatctl.invite(Self.users[3]).code
        canaries.append(code)
        let port = relay.port
        let wire = try await blocking {
            let device = try WireDevice(port: port, code: code)
            _ = try? WireDevice(port: port, code: code)
            let connection = try device.connect()
            connection.sendText("{\"requestId\": \"1\", \"read\": {\"chatId\": \"\(device.user)\", \"chatSeq\": \"5\"}}")
            _ = try connection.readText(containing: "error")
            connection.send(RawConnection.frame(opcode: 1, Array("{\"waterfall".utf8)))
            _ = try connection.readCloseCode()
            for path in ["/v1/users?name=\(Self.users[0])", "/v1/users/\(device.user)", "/v1/chats/\(device.id)", "/v1/nowhere/\(device.id)"] {
                _ = try RawConnection(port: port).request("GET", path, headers: device.authorization)
            }
            _ = try RawConnection(port: port).request("GET", "/v1/chats", headers: ["Authorization": "Bearer wrongtokenwrongtoken"])
            return (token: device.token, id: device.id)
        }
        canaries += [wire.token, wire.id, "wrongtoken"]
        #expect(try await relay.chatctl.run("device", "revoke", wire.id, "--yes", "--reason", "sold on the fleamarket").succeeded)
        #expect(try await relay.chatctl.run("user", "suspend", Self.users[3], "--reason", "fleamarket").succeeded)
        _ = try await relay.chatctl.run("user", "show", "nobody-of-that-name")
        for device in devices.values { try await device.close() }
        try await relay.kill()
        try await relay.start()
        guard let process = relay.processID else { throw SupportFailure("relayd is not running") }
        #expect(try await Subprocess.run("prlimit", ["--pid", "\(process)", "--core=0:"]).status == .exited(0))

        let log = relay.directory.file("relayd.log")
        try relay.standardError.write(toFile: log, atomically: false, encoding: .utf8)
        chmod(log, 0o600)
        let list = states.file("canaries")
        try canaries.joined(separator: "\n").write(toFile: list, atomically: false, encoding: .utf8)
        let stored = states.file("metrics.txt")
        try (try await relay.control.request("GET", "/v1/metrics").body).write(toFile: stored, atomically: false, encoding: .utf8)
        func audit(_ more: String...) async throws -> (status: RelayTestSupport.ExitStatus, report: Report, text: String) {
            let result = try await relay.chatctl.run(
                ["privacy", "audit", "--log", log, "--canary-file", list, "--file", stored, "--json"] + more)
            guard let report = try? JSONDecoder().decode(Report.self, from: Data(result.standardOutput.utf8)) else {
                throw SupportFailure("\(result)")
            }
            return (result.status, report, result.standardOutput)
        }

        let clean = try await audit()
        #expect(clean.report.findings.isEmpty && clean.status == .exited(0), "\(clean.report.findings)")
        #expect(clean.report.checks.allSatisfy { $0.state == "clean" }, "\(clean.report.checks)")
        #expect(clean.report.checks.count == 10)
        let page = try await relay.chatctl.run("privacy", "audit", "--log", log)
        #expect(page.succeeded && page.standardOutput.contains("nothing found"))
        #expect(relay.standardError.count > 1000, "the log is too short to prove anything")

        // Each planted thing is found, and nothing of it stands in the report.
        func expect(_ check: String, _ what: String, _ result: (status: RelayTestSupport.ExitStatus, report: Report, text: String)) {
            #expect(result.status == .exited(1), "\(what)")
            #expect(result.report.findings.contains { $0.check == check && $0.what.contains(what) }, "\(check), \(what): \(result.report.findings)")
            for canary in Self.users { #expect(!result.text.contains(canary)) }
        }
        func plant(_ text: String) throws -> String {
            let planted = states.file("planted")
            try (relay.standardError + text + "\n").write(toFile: planted, atomically: false, encoding: .utf8)
            return planted
        }
        let user = try await relay.chatctl.json(["user", "show", Self.users[0]], as: UserRecord.self)
        for (line, what) in [
            ("2026-11-21T09:30:00.250Z info gateway: sent user=\(Self.users[0])", "a user's name"),
            ("x device=\(user.devices[0].id)", "a device's number"),
            ("x user=\(String(user.id.rawValue, radix: 16))", "a user's number"), ("x peer=198.51.100.7:44321", "an address"),
            ("x text=Second Waterfall", "canary"), ("x \(wire.token)", "canary"),
        ] {
            expect("log", what, try await audit("--log", try plant(line)))
        }
        expect("files", "a user's name", try await audit("--file", try plant("relayd_sends_total{user=\"\(Self.users[1])\"} 1")))

        let copy = states.file("copy.db")
        do {
            let database = try Database(path: relay.storePath, access: .readOnly)
            try database.execute("VACUUM INTO '\(copy)'")
            let other = try Database(path: copy, access: .readWriteCreate)
            try other.execute("ALTER TABLE messages ADD COLUMN ip TEXT")
            try other.execute("CREATE TABLE seen (user_id INTEGER, address TEXT)")
        }
        expect("schema", "no such column", try await audit("--store", copy))
        expect("schema", "no such table", try await audit("--store", copy))

        chmod(relay.storePath, 0o644)
        expect("store files", "everybody may open the store", try await audit())
        chmod(relay.storePath, 0o600)
        chmod(relay.configurationPath, 0o666)
        expect("configuration", "others may change", try await audit())
        chmod(relay.configurationPath, 0o644)

        let core = relay.directory.file("core.4711")
        try Data([0, 1, 2] + Array("…\(text)…".utf8) + [0]).write(to: URL(fileURLWithPath: core))
        chmod(core, 0o600)
        let found = try await audit()
        expect("core files", "a core file", found)
        expect("core files", "canary", found)
        try FileManager.default.removeItem(atPath: core)
        #expect(try await audit().status == .exited(0))

        // Who may not look is told so, and what is wrong in the request as well.
        #expect(try await relay.chatctl.run("privacy", "audit", "--canary", "abc").status == .exited(64))
        #expect(try await relay.chatctl.run("privacy", "audit", "--canary-file", states.file("none")).status == .exited(1))
        await relay.terminate()
        #expect(try await relay.chatctl.run("privacy", "audit").status == .exited(69))
    }

    /// The record of commands holds who writes to whom.
    @Test func aRecordOfCommandsAndCoreFilesThatMayBeWritten() async throws {
        let relay = try RelayProcess(recording: true)
        try await relay.start()
        guard let process = relay.processID else { throw SupportFailure("relayd is not running") }
        #expect(try await Subprocess.run("prlimit", ["--pid", "\(process)", "--core=0:"]).status == .exited(0))
        let result = try await relay.chatctl.run("privacy", "audit", "--json")
        #expect(result.status == .exited(1))
        let report = try JSONDecoder().decode(Report.self, from: Data(result.standardOutput.utf8))
        #expect(report.findings.map(\.place) == [relay.directory.file("commands")], "\(report.findings)")
        #expect(report.checks.first { $0.name == "log" }?.state == "skipped", "a pipe cannot be searched")
        if try await Subprocess.run("prlimit", ["--pid", "\(process)", "--core=1000000:1000000"]).status == .exited(0) {
            let again = try JSONDecoder().decode(
                Report.self, from: Data(try await relay.chatctl.run("privacy", "audit", "--json").standardOutput.utf8))
            #expect(again.findings.contains { $0.check == "core settings" })
        }
        await relay.terminate()
    }
}
