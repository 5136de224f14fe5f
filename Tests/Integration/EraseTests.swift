import Foundation
import RelayControl
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayStorage
import RelayTestSupport
import RelayWire
import Testing

@testable import RelayClient

/// Erasing a user, with the real programs: what is left in any file afterwards is what the report said.
@Suite("Erasing users") struct EraseTests {
    /// Every file below a directory, with its bytes.
    private func files(below directory: String) throws -> [String: Data] {
        var found: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            var isDirectory: ObjCBool = false
            guard FileManager.default.fileExists(atPath: "\(directory)/\(name)", isDirectory: &isDirectory), !isDirectory.boolValue,
                let data = FileManager.default.contents(atPath: "\(directory)/\(name)")
            else { continue }
            found[name] = data
        }
        return found
    }

    private func bytes(_ number: UInt64) -> Data { withUnsafeBytes(of: number.bigEndian) { Data($0) } }

    /// Which of the needles are in which files.
    private func hits(_ needles: [String: Data], below directory: String) throws -> [String: Set<String>] {
        let files = try files(below: directory)
        var found: [String: Set<String>] = [:]
        for (what, needle) in needles {
            for (name, data) in files where data.range(of: needle) != nil { found[what, default: []].insert(name) }
        }
        return found
    }

    @Test(.timeLimit(.minutes(10))) func nothingIsLeftButWhatTheReportSays() async throws {
        // The daemon's files in a directory of their own: the clients' are on other machines.
        let state = try TemporaryDirectory()
        let clients = try TemporaryDirectory()
        let relay = try RelayProcess(limits: [:], everyoneIsContact: false, logLevel: "trace", directory: state)
        try await relay.start()
        let chatctl = relay.chatctl
        var devices: [String: TestDevice] = [:]
        func enrol(_ user: String, _ link: String, _ name: String) async throws -> TestDevice {
            let device = try await TestDevice(
                name: "\(user).\(name)", link: link, directory: StateDirectory(clients.file("\(devices.count)")))
            devices["\(user).\(name)"] = device
            return device
        }
        let added: UserAdd.Reply = try await chatctl.json([
            "user", "add", "Quetzalcóatl", "--display-name", "Ms Pterodactyl Ü", "--avatar", "https://example.org/feathers.png",
        ])
        let user = added.user.id
        let name = added.user.name
        let phone = try await enrol(name, added.invite.link, "fossilphone")
        let laptop = try await enrol(name, try await chatctl.invite(name).link, "amberlaptop")
        _ = try await chatctl.invite(name)
        for other in ["bob", "carol", "dan"] { _ = try await enrol(other, try await chatctl.addUser(other).invite.link, "phone") }
        let bob = try #require(devices["bob.phone"])
        for other in ["bob", "carol"] {
            #expect(try await chatctl.run("contact", "add", name, other, "--reason", "friends of Quetzalcóatl's").succeeded)
        }
        #expect(try await chatctl.run("block", "add", name, "dan", "--reason", "asked for", "--yes").succeeded)
        for device in devices.values { try await device.goOnline() }
        let group = try await phone.session.createGroup("the crew", with: ["bob", "carol"])
        try await phone.session.wait(for: group, .sent, timeout: .seconds(300))
        for (sender, to) in [(phone, "bob"), (bob, name)] {
            let sent = try await sender.session.send((1...20).map { "words \($0)" }, to: to)
            try await sender.session.wait(for: sent, .delivered, timeout: .seconds(300))
        }
        let crew = try #require(phone.log.answers.first { $0.id == group[0] }?.place.chat)
        let inGroup = try await phone.session.send(["hello all"], toGroup: .chat(crew))
        try await phone.session.wait(for: inGroup, .delivered, timeout: .seconds(300))
        try await bob.wait(for: "the group's message") { $0.received.contains { $0.text == "hello all" } }
        // Keys of every kind, one of them replaced.
        let agreement = try await replaceKeys(of: phone, on: relay)
        #expect(try await chatctl.run("device", "kick", phone.account.device.description, "--reason", "the fossilphone hangs").succeeded)

        var needles: [String: Data] = ["name": Data(name.utf8), "display name": Data("Pterodactyl".utf8), "avatar": Data("feathers.png".utf8)]
        needles["name as typed"] = Data("Quetzalcóatl".utf8)
        for device in [phone, laptop] {
            let account = device.account
            needles["name of \(device.name)"] = Data((device.name.split(separator: ".").last ?? "").utf8)
            let database = try Database(path: relay.storePath, access: .readOnly)
            let row = try database.prepare("SELECT identity_key, agreement_key, agreement_signature FROM devices WHERE device_id = \(account.device)")
            #expect(try row.step())
            for column in 0..<3 as Range<Int32> { needles["key \(column) of \(device.name)"] = Data(row.bytes(column)) }
        }
        do {
            let database = try Database(path: relay.storePath, access: .readOnly)
            let row = try database.prepare(
                "SELECT key FROM prekeys WHERE device_id = \(phone.account.device) UNION SELECT key FROM one_time_prekeys WHERE device_id = \(phone.account.device)"
            )
            while try row.step() { needles["prekey \(needles.count)"] = Data(row.bytes(0)) }
            let invites = try database.prepare("SELECT hash FROM invites WHERE user_id = \(user)")
            while try invites.step() { needles["hash of invite \(needles.count)"] = Data(invites.bytes(0)) }
        }
        needles["first agreement key"] = Data(agreement)
        #expect(needles.count > 20)
        let numbers = ["number": Data("\(user)".utf8), "number's bytes": bytes(user.rawValue)]

        // The search finds what is there: all of it.
        let before = try hits(needles.merging(numbers) { $1 }, below: state.path)
        let missing = Set(needles.keys).union(numbers.keys).subtracting(before.keys)
        #expect(missing.subtracting(["name as typed", "number"]).isEmpty, "\(missing)")

        let plan: ErasureReport = try await chatctl.json(["user", "erase", "plan", "QUETZALCÓATL", "--now"])
        #expect(plan.user == name && plan.state == .planned && plan.graceSeconds == 0 && plan.dueAt == nil)
        func goes(_ report: ErasureReport, _ part: String) -> Int { report.entries?.first { $0.part == part }?.goes ?? -1 }
        func stays(_ report: ErasureReport, _ part: String) -> Int { report.entries?.first { $0.part == part }?.stays ?? -1 }
        #expect(goes(plan, "devices") == 2 && goes(plan, "invites") == 3 && goes(plan, "one_time_prekeys") == 5 && goes(plan, "prekeys") == 3)
        #expect(goes(plan, "contacts") == 6 && goes(plan, "members") == 1 && stays(plan, "members") == 1 && stays(plan, "chats") == 1)
        #expect(goes(plan, "message_keys") > 40 && goes(plan, "receipts") >= 1)

        // Nobody but an admin, and nothing but this plan.
        let wrong = try await chatctl.run("user", "erase", "apply", name, "--plan", "0000-0000-0000-0000", "--now", "--reason", "asked by letter")
        #expect(wrong.status == .exited(75) && wrong.standardError.contains("chatctl user erase plan"), "\(wrong)")
        let named = try await chatctl.run("user", "erase", "apply", name, "--plan", plan.plan, "--now", "--reason", "\(name) left")
        #expect(named.status == .exited(64) && named.standardError.contains("leave the name out"), "\(named)")
        // Somebody adds a device: it is not the same user any more.
        let other = try await chatctl.invite(name)
        let moved = try await chatctl.run("user", "erase", "apply", name, "--plan", plan.plan, "--now", "--reason", "asked by letter")
        #expect(moved.status == .exited(75), "\(moved)")
        #expect(try await chatctl.run("invite", "revoke", other.id.description, "--yes").succeeded)

        let second: ErasureReport = try await chatctl.json(["user", "erase", "plan", name, "--now"])
        #expect(second.plan != plan.plan)
        let report: ErasureReport = try await chatctl.json(
            ["user", "erase", "apply", name, "--plan", second.plan, "--now", "--reason", "asked by letter"])
        #expect(report.state == .erased && report.files?.allSatisfy { !$0.holds } == true)
        for entry in report.entries ?? [] {
            // The entry of this order is one more.
            #expect(entry.goes == goes(second, entry.part) + (entry.part == "audit" ? 1 : 0), "\(entry.part)")
            // The members of the group hear that the user has left.
            let more = ["audit", "messages"].contains(entry.part) ? 1 : 0
            #expect(entry.stays == stays(second, entry.part) + more, "\(entry.part)")
        }

        // While relayd runs: every file of its, the log that it wrote included.
        try relay.standardError.write(toFile: state.file("log"), atomically: false, encoding: .utf8)
        let running = try hits(needles, below: state.path)
        #expect(running.isEmpty, "\(running)")
        #expect(try hits(numbers, below: state.path).values.allSatisfy { $0.isSubset(of: ["relay.db", "relay.db-wal"]) })
        try await bob.wait(for: "the news that the user has left") { log in
            log.changes.contains { entry in
                if case .change(let change) = entry.kind { change.action == .leave && change.users == [user] } else { false }
            }
        }
        for device in devices.values { try await device.close() }
        #expect(await relay.terminate() == .exited(0))
        let stopped = try hits(needles, below: state.path)
        #expect(stopped.isEmpty, "\(stopped)")

        // The number: as many rows of each table as the report says, and in no other.
        let digits = String(user.rawValue, radix: 16, uppercase: true)
        let hex = String(repeating: "0", count: 16 - digits.count) + digits
        let tables = try StoreDump.tables(ofStoreAt: relay.storePath).mapValues { rows in
            rows.filter { $0.contains(user.description) || $0.contains(hex) }.count
        }
        for (table, count) in tables {
            // One of those in the audit log, about the phone, never had the number, and what relayd says about the erasure has it.
            let expected = max(0, stays(report, table)) + (table == "audit" ? 1 - 1 : 0)
            #expect(count == expected, "\(table)")
        }
        let device = phone.account.device
        let left = try StoreDump.tables(ofStoreAt: relay.storePath).compactMapValues { rows in
            let count = rows.count { $0.contains(device.description) }
            return count == 0 ? nil : count
        }
        // As the sender of messages, and as what operators did something about.
        #expect(Set(left.keys) == ["messages", "audit"], "\(left)")

        // The others go on.
        try await relay.start()
        #expect(try await chatctl.json(["contact", "list", "--user", "bob"], as: ContactList.Reply.self).contacts.isEmpty)
        #expect(try await chatctl.addUser(name).user.id != user)
        await relay.terminate()
    }

    /// A new agreement key and prekeys of every kind, by hand; gives the first agreement key.
    private func replaceKeys(of device: TestDevice, on relay: RelayProcess) async throws -> [UInt8] {
        let secrets = try Self.secrets(of: device)
        let (port, account) = (relay.port, device.account)
        return try await blocking {
            let wire = try WireDevice(port: port, user: account.user, device: account.device, secrets: secrets)
            try KeyUploads.upload(wire, agreement: true, signed: 1, lastResort: 1, oneTime: 1...5)
            return secrets.publicKeys.agreementKey
        }
    }

    private static func secrets(of device: TestDevice) throws -> DeviceSecrets { try #require(try device.directory.readKeys()).device }

    @Test(.timeLimit(.minutes(10))) func inTheGraceTheUserIsOutAndComesBack() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let chatctl = relay.chatctl
        let alice = try await TestDevice(
            name: "alice.phone", link: try await chatctl.addUser("alice").invite.link, directory: StateDirectory(relay.directory.file("alice")))
        let bob = try await TestDevice(
            name: "bob.phone", link: try await chatctl.addUser("bob").invite.link, directory: StateDirectory(relay.directory.file("bob")))
        try await alice.goOnline()
        try await bob.goOnline()
        let plan: ErasureReport = try await chatctl.json(["user", "erase", "plan", "alice"])
        #expect(plan.graceSeconds == 7 * 86_400)
        // Another time of grace than in the plan is another thing.
        let other = try await chatctl.run("user", "erase", "apply", "alice", "--plan", plan.plan, "--now", "--reason", "x")
        #expect(other.status == .exited(75), "\(other)")
        let pending: ErasureReport = try await chatctl.json(["user", "erase", "apply", "alice", "--plan", plan.plan, "--reason", "asked by letter"])
        #expect(pending.state == .pending && pending.dueAt != nil && pending.entries == nil)
        try await alice.wait(for: "the end") { $0.ended != nil }
        #expect("\(String(describing: alice.log.ended))".contains("suspended"))
        let sent = try await bob.session.send(["are you there?"], to: "alice")
        try await bob.session.wait(for: sent, .sent, timeout: .seconds(300))

        let shown: UserRecord = try await chatctl.json(["user", "show", "alice"])
        #expect(shown.eraseAt == pending.dueAt && shown.suspendedAt == nil)
        #expect(try await chatctl.run("user", "list").standardOutput.contains("to be erased"))
        let status = try await chatctl.json(["user", "erase", "status"], as: UserEraseStatus.Reply.self).erasures
        #expect(status.map(\.user) == ["alice"] && status.first?.hasBegun == false && status.first?.dueAt == pending.dueAt)
        for command in [["user", "resume", "alice"], ["user", "remove", "alice", "--yes"]] {
            let refused = try await chatctl.run(command)
            #expect(refused.status == .exited(77) && refused.standardError.contains("chatctl user erase cancel alice"), "\(refused)")
        }
        // Also behind a restart.
        try await relay.kill()
        try await relay.start()
        #expect(try await chatctl.json(["user", "erase", "status", "alice"], as: UserEraseStatus.Reply.self).erasures.count == 1)
        let cancelled = try await chatctl.run("user", "erase", "cancel", "alice", "--reason", "a mistake")
        #expect(cancelled.standardOutput == "User alice is not erased, and active.\n", "\(cancelled)")
        try await alice.close()
        try alice.reopen()
        try await alice.goOnline()
        try await alice.wait(for: "what was sent meanwhile") { $0.received.contains { $0.text == "are you there?" } }
        let again = try await chatctl.run("user", "erase", "cancel", "alice")
        #expect(again.status == .exited(1) && again.standardError.contains("is not to be erased"), "\(again)")
        #expect(try await chatctl.run("user", "erase", "status").standardError == "Nobody is to be erased.\n")

        // The shortest grace there is, and then relayd does it by itself.
        let short: ErasureReport = try await chatctl.json(["user", "erase", "plan", "alice", "--grace", "1s"])
        #expect(try await chatctl.run("user", "erase", "apply", "alice", "--plan", short.plan, "--grace", "1s", "--reason", "asked again").succeeded)
        while try await !chatctl.json(["user", "erase", "status"], as: UserEraseStatus.Reply.self).erasures.isEmpty { await Task.yield() }
        #expect(try await chatctl.run("user", "show", "alice").status == .exited(1))
        let audit = try await chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries
        #expect(audit.first?.operation == "relayd/erase" && audit.first?.reason?.contains("devices 1") == true)
        #expect(!audit.contains { $0.subject.contains("alice") || $0.reason?.contains("alice") == true })
        try await alice.close()
        try await bob.close()
        await relay.terminate()
    }

    /// Killed at a commit somewhere in the middle; the next start takes it to its end.
    @Test(.timeLimit(.minutes(10))) func aCrashInTheMiddleIsTakenUp() async throws {
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let relay = try RelayProcess(logLevel: "warning", environment: faults.environment)
        try await relay.start()
        let chatctl = relay.chatctl
        let bob = try await TestDevice(
            name: "bob.phone", link: try await chatctl.addUser("bob").invite.link, directory: StateDirectory(relay.directory.file("bob")))
        try await bob.goOnline()
        for (number, passing) in [0, 1, 2, 3, 4].enumerated() {
            let name = "erased\(number)"
            let added = try await chatctl.addUser(name)
            let device = try await TestDevice(
                name: "\(name).phone", link: added.invite.link, directory: StateDirectory(relay.directory.file(name)))
            try await device.goOnline()
            let group = try await device.session.createGroup("group \(number)", with: ["bob"])
            try await device.session.wait(for: group, .sent, timeout: .seconds(300))
            let sent = try await device.session.send(["one", "two"], to: "bob")
            try await device.session.wait(for: sent, .delivered, timeout: .seconds(300))
            try await device.close()
            try await bob.goOffline()
            let plan: ErasureReport = try await chatctl.json(["user", "erase", "plan", name, "--now"])
            faults.arm(.kill, .flush, on: .log, passing: passing)
            let struck = try await chatctl.run("user", "erase", "apply", name, "--plan", plan.plan, "--now", "--reason", "asked by letter")
            faults.disarm()
            if struck.succeeded {
                // Fewer commits than that.
                try await relay.kill()
            } else {
                #expect(await relay.ended() == .signalled(SIGKILL))
            }
            try await relay.start()
            if passing == 0, try await chatctl.run("user", "show", name).succeeded {
                // The kill was before the first commit: nothing was asked for.
                let again: ErasureReport = try await chatctl.json(["user", "erase", "plan", name, "--now"])
                #expect(try await chatctl.run("user", "erase", "apply", name, "--plan", again.plan, "--now", "--reason", "asked by letter").succeeded)
            }
            while try await !chatctl.json(["user", "erase", "status"], as: UserEraseStatus.Reply.self).erasures.isEmpty { await Task.yield() }
            #expect(try await chatctl.run("user", "show", name).status == .exited(1))
            let found = try hits(["name": Data(name.utf8)], below: relay.directory.path).filter {
                !$0.value.isDisjoint(with: ["relay.db", "relay.db-wal"])
            }
            #expect(found.isEmpty, "\(name): \(found)")
            try await bob.goOnline()
        }
        try await bob.close()
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
    }
}
