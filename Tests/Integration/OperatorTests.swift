import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayClient

/// What an operator does about contacts, blocks, connections and keys, and what the relay then does: real programs on a real store.
@Suite("Operators") struct OperatorTests {
    /// A relay where users ask before they write, with one user and device for each name; nobody is connected.
    private func withPeople(
        _ names: [String], _ body: (RelayProcess, Chatctl, [String: TestDevice]) async throws -> Void
    ) async throws {
        let relay = try RelayProcess(everyoneIsContact: false)
        try await relay.start()
        var devices: [String: TestDevice] = [:]
        for name in names {
            let link = try await relay.chatctl.addUser(name).invite.link
            devices[name] = try await TestDevice(name: "\(name).phone", link: link, directory: StateDirectory(relay.directory.file("\(name).phone")))
        }
        do { try await body(relay, relay.chatctl, devices) } catch {
            for device in devices.values { try? await device.close() }
            throw error
        }
        for device in devices.values { try await device.close() }
        await relay.terminate()
    }

    private func contacts(_ chatctl: Chatctl, _ user: String, _ more: String...) async throws -> [ContactRecord] {
        try await chatctl.json(["contact", "list", "--user", user] + more, as: ContactList.Reply.self).contacts
    }

    @Test(.timeLimit(.minutes(10))) func introducesBlocksAndUnblocks() async throws {
        try await withPeople(["alice", "bob", "carol"]) { _, chatctl, devices in
            let alice = try #require(devices["alice"]), bob = try #require(devices["bob"])
            #expect(try await contacts(chatctl, "alice").isEmpty)
            let met: ContactAdd.Reply = try await chatctl.json(["contact", "add", "Alice", "bob", "--reason", "sisters"])
            #expect(met.user == "alice" && met.peer == "bob" && met.changed)
            let again = try await chatctl.run("contact", "add", "bob", "alice", "--reason", "sisters")
            #expect(again.standardOutput == "bob and alice are contacts already.\n", "\(again)")
            #expect(try await chatctl.run("contact", "add", "alice", "carol", "--reason", "friends").succeeded)
            let listed = try await contacts(chatctl, "alice")
            #expect(listed.map(\.peer) == ["bob", "carol"] && listed.map(\.state) == [.accepted, .accepted])
            #expect(listed.allSatisfy { $0.since != nil && $0.user == "alice" })
            #expect(try await contacts(chatctl, "bob", "--state", "accepted").map(\.peer) == ["alice"])
            #expect(try await contacts(chatctl, "bob", "--state", "requested").isEmpty)
            let page: ContactList.Reply = try await chatctl.json(["contact", "list", "--user", "alice", "--limit", "1"])
            #expect(page.contacts.map(\.peer) == ["bob"])
            let next = try #require(page.next)
            #expect(try await contacts(chatctl, "alice", "--after", next.description).map(\.peer) == ["carol"])

            // The introduction holds for messages, and for groups.
            try await alice.goOnline()
            try await bob.goOnline()
            let made = try await alice.session.createGroup("the crew", with: ["bob", "carol"])
            try await alice.session.wait(for: made, .sent, timeout: .seconds(300))
            _ = try await alice.session.send(["hello bob"], to: "bob")
            try await bob.wait(for: "a message") { $0.received.contains { $0.text == "hello bob" } }
            try await bob.wait(for: "the group") { !$0.changes.isEmpty }
            let changes = bob.log.changes.count

            // Asked first what would happen, nothing happens.
            let plan: BlockAdd.Reply = try await chatctl.json(["block", "add", "alice", "bob", "--reason", "asked by phone", "--dry-run"])
            #expect(plan.dryRun && plan.changed && plan.groupsLeft == 1)
            #expect(try await chatctl.run("block", "list", "--user", "alice").standardOutput.isEmpty)
            let blocked = try await chatctl.run("block", "add", "alice", "bob", "--reason", "asked by phone", "--yes")
            #expect(blocked.standardOutput == "alice blocks bob, and left 1 shared group.\n", "\(blocked)")
            try await bob.wait(for: "alice leaving the group") { $0.changes.count > changes }
            let list: BlockList.Reply = try await chatctl.json(["block", "list"])
            #expect(list.blocks.map(\.user) == ["alice"] && list.blocks.map(\.peer) == ["bob"] && list.next == nil)
            #expect(try await chatctl.json(["block", "list", "--user", "bob"], as: BlockList.Reply.self).blocks.isEmpty)
            #expect(try await contacts(chatctl, "alice", "--state", "blocks").map(\.peer) == ["bob"])
            #expect(try await contacts(chatctl, "bob").map(\.state) == [.blocked])
            let shown: UserRecord = try await chatctl.json(["user", "show", "alice"])
            #expect(
                shown.relations == UserRelations(accepted: 1, requested: 0, incoming: 0, ignored: 0, blocks: 1, blockedBy: 0, groups: 0))
            let page2 = try await chatctl.run("user", "show", "bob")
            #expect(page2.standardOutput.contains("0, blocked by 1") && page2.standardOutput.contains("groups"), "\(page2)")
            // bob's own device says so, or the relay when it was quicker than its word to the device.
            do {
                let sent = try await bob.session.send(["are you there?"], to: "alice")
                try await bob.session.wait(for: sent, .sent, timeout: .seconds(300))
                #expect(bob.log.dead.map(\.code) == ["blocked"])
            } catch let error as ClientError {
                #expect(error.description.contains("alice blocks you"), "\(error)")
            }

            // A block is not undone by an introduction, from either side.
            for (user, peer) in [("alice", "bob"), ("bob", "alice")] {
                let refused = try await chatctl.run("contact", "add", user, peer, "--reason", "make up")
                #expect(refused.status == .exited(77) && refused.standardError.contains("error: alice blocks bob"), "\(refused)")
            }
            let lifted: BlockRemove.Reply = try await chatctl.json(["block", "remove", "alice", "bob", "--reason", "made up"])
            #expect(lifted.state == .accepted)
            let none = try await chatctl.run("block", "remove", "alice", "bob", "--reason", "made up")
            #expect(none.status == .exited(1) && none.standardError.contains("alice does not block bob"), "\(none)")

            let audit: AuditList.Reply = try await chatctl.json(["block", "audit"])
            #expect(audit.entries.map(\.operation) == ["block/remove", "block/add", "contact/add", "contact/add", "contact/add"])
            #expect(audit.entries.map(\.subject) == ["alice bob", "alice bob", "alice carol", "bob alice", "alice bob"])
            #expect(audit.entries.first?.reason == "made up")
        }
    }

    @Test(.timeLimit(.minutes(10))) func badInputIsRefusedAndChangesNothing() async throws {
        let relay = try RelayProcess(everyoneIsContact: false)
        try await relay.start()
        let chatctl = relay.chatctl
        for name in ["alice", "bob"] { _ = try await chatctl.addUser(name) }
        let cases: [(arguments: [String], status: Int32, says: String)] = [
            (["contact", "list"], 64, "--user"), (["contact", "list", "--user", "nobody"], 1, "no user nobody"),
            (["contact", "list", "--user", "alice", "--state", "friendly"], 64, "--state"),
            (["contact", "list", "--user", "alice", "--limit", "501"], 64, "1 to 500"),
            (["contact", "add", "alice", "bob"], 64, "--reason"), (["contact", "add", "alice", "bob", "--reason", " "], 64, "the reason is empty"),
            (["contact", "add", "alice", "alice", "--reason", "x"], 64, "a contact of alice is another user"),
            (["contact", "add", "alice", "nobody", "--reason", "x"], 1, "no user nobody"),
            (["contact", "add", "nobody", "alice", "--reason", "x"], 1, "no user nobody"),
            (["contact", "add", "alice", "a b", "--reason", "x"], 64, "a b"),
            (["block", "add", "alice", "bob", "--yes"], 64, "--reason"), (["block", "add", "alice", "bob", "--reason", "x"], 64, "confirmation"),
            (["block", "add", "alice", "alice", "--reason", "x", "--yes"], 64, "another user"),
            (["block", "add", "alice", "alice", "--reason", "x", "--dry-run"], 64, "another user"),
            (["block", "add", "alice", "nobody", "--reason", "x", "--yes"], 1, "no user nobody"),
            (["block", "remove", "alice", "bob"], 64, "--reason"), (["block", "remove", "alice", "alice", "--reason", "x"], 64, "another user"),
            (["block", "remove", "alice", "bob", "--reason", "x"], 1, "does not block"),
            (["block", "list", "--user", "nobody"], 1, "no user nobody"), (["block", "list", "--after", "here"], 64, "“after”"),
            (["block", "list", "--limit", "0"], 64, "1 to 500"), (["block", "audit", "--limit", "0"], 64, "1 to 500"),
            (["device", "kick", "7"], 1, "no device 7"), (["device", "kick", "x"], 64, "device"),
            (["key", "show", "7"], 1, "no device 7"), (["key", "list", "--user", "nobody"], 1, "no user nobody"),
            (["user", "export", "nobody"], 1, "no user nobody"),
        ]
        for (arguments, status, says) in cases {
            let result = try await chatctl.run(arguments)
            #expect(result.status == .exited(status), "\(arguments): \(result)")
            #expect(result.standardOutput.isEmpty, "\(arguments): \(result)")
            #expect(result.standardError.contains(says), "\(arguments): \(result)")
        }
        let audit = try await chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries
        #expect(audit.filter { $0.result == "done" }.map(\.operation) == ["user/add", "user/add"])
        // What chatctl cannot leave out, others can.
        for (path, body) in [
            ("contact/add", #"{"user": "alice", "peer": "bob"}"#), ("block/add", #"{"user": "alice", "peer": "bob"}"#),
            ("user/export", #"{"user": "alice", "section": "devices"}"#), ("user/export", #"{"user": "alice", "section": "secrets"}"#),
            ("user/export", #"{"user": "alice", "section": "messages", "id": "7", "after": "1"}"#),
        ] {
            let reply = try await relay.control.request("POST", "/v1/\(path)", body: body)
            #expect((400..<500).contains(reply.status), "\(path): \(reply)")
        }
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func aKickedDeviceComesBackByItself() async throws {
        try await withPeople(["alice"]) { _, chatctl, devices in
            let device = try #require(devices["alice"])
            let number = device.account.device.description
            let away: DeviceKick.Reply = try await chatctl.json(["device", "kick", number])
            #expect(!away.wasConnected)
            try await device.goOnline()
            let kicked = try await chatctl.run("device", "kick", number, "--reason", "stuck")
            #expect(kicked.standardOutput == "Device \(number) (phone) of alice was disconnected.\n", "\(kicked)")
            try await device.wait(for: "the connection after the kick") { $0.connections == 2 }
            #expect(device.log.ended == nil)
            #expect(try await chatctl.devices().map(\.online) == [true])
            let audit: AuditList.Reply = try await chatctl.json(["audit", "list", "--limit", "1"])
            #expect(audit.entries.map(\.operation) == ["device/kick"] && audit.entries.first?.reason == "stuck")
        }
    }

    @Test(.timeLimit(.minutes(10))) func keysAreCheckedNow() async throws {
        try await withPeople(["alice", "bob"]) { relay, chatctl, devices in
            let phone = try #require(devices["alice"]).account.device
            let other = try #require(devices["bob"]).account.device
            let list: KeyList.Reply = try await chatctl.json(["key", "list"])
            #expect(list.keys.map(\.device) == [phone, other] && list.keys.allSatisfy { $0.signatureValid && !$0.revoked })
            #expect(try await chatctl.json(["key", "list", "--user", "bob"], as: KeyList.Reply.self).keys.map(\.device) == [other])
            let page: KeyList.Reply = try await chatctl.json(["key", "list", "--limit", "1"])
            #expect(page.keys.map(\.device) == [phone] && page.next == phone)
            let shown: KeyRecord = try await chatctl.json(["key", "show", phone.description])
            let device: DeviceRecord = try await chatctl.json(["device", "show", phone.description])
            #expect(shown.identityFingerprint == device.fingerprint && shown.agreementFingerprint != shown.identityFingerprint)
            #expect(shown.user == "alice" && shown.name == "phone")
            let good = try await chatctl.run("key", "audit")
            #expect(good.succeeded && good.standardOutput == "2 devices checked: every signature is right.\n", "\(good)")

            // Somebody with the store in their hands puts their own agreement key in the place of alice's.
            await relay.terminate()
            do {
                let store = try Database(path: relay.storePath, access: .readWriteCreate)
                try store.execute(
                    "UPDATE devices SET agreement_key = (SELECT agreement_key FROM devices WHERE device_id = \(other)) WHERE device_id = \(phone)")
            }
            try await relay.start()
            let bad = try await chatctl.run("key", "audit")
            #expect(bad.status == .exited(1) && bad.standardError.isEmpty, "\(bad)")
            #expect(bad.standardOutput.contains("2 devices checked: 1 signature wrong.") && bad.standardOutput.contains("WRONG"), "\(bad)")
            #expect(try await chatctl.json(["key", "show", phone.description], as: KeyRecord.self).signatureValid == false)
            #expect(try await chatctl.json(["key", "show", other.description], as: KeyRecord.self).signatureValid)

            // A revoked device keeps its keys and is not counted.
            #expect(try await chatctl.run("device", "revoke", phone.description, "--yes").succeeded)
            let revoked: KeyRecord = try await chatctl.json(["key", "show", phone.description])
            #expect(revoked.revoked && revoked.user == "alice" && revoked.name == nil)
            #expect(try await chatctl.run("key", "audit").standardOutput == "1 device checked: every signature is right.\n")
        }
    }
}
