import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

@testable import RelayClient

/// The archive of everything that the relay holds about a user, as chatctl(1) documents it.
@Suite("User export") struct UserExportTests {
    /// The archive's own shape, written down apart from the code that makes it.
    private struct Archive: Decodable {
        var format: String
        var version: Int
        var exportedAt: Timestamp
        var user: ExportedUser
        var devices: [ExportedDevice]
        var invites: [ExportedInvite]
        var contacts: [ExportedContact]
        var chats: [ExportedChat]
        var receipts: [ExportedReceipt]
        var messages: [ExportedMessage]
        var audit: [AuditRecord]
        var complete: Bool
    }

    /// Two pages of messages: the store is read in pages of 500.
    private static let texts = (1...510).map { "secret number \($0)" }

    @Test(.timeLimit(.minutes(10))) func everythingAboutAUserAndNoBody() async throws {
        let relay = try RelayProcess(limits: [:], everyoneIsContact: false)
        try await relay.start()
        let chatctl = relay.chatctl
        _ = try await chatctl.run("user", "add", "alice", "--no-limits")
        for name in ["bob", "carol", "dan"] { _ = try await chatctl.addUser(name) }
        var devices: [String: TestDevice] = [:]
        for (user, name) in [("alice", "phone"), ("alice", "laptop"), ("bob", "phone")] {
            let link = try await chatctl.invite(user).link
            devices["\(user).\(name)"] = try await TestDevice(
                name: "\(user).\(name)", link: link, directory: StateDirectory(relay.directory.file("\(user).\(name)")))
        }
        let phone = try #require(devices["alice.phone"]), laptop = try #require(devices["alice.laptop"]), bob = try #require(devices["bob.phone"])
        for peer in ["bob", "carol"] { #expect(try await chatctl.run("contact", "add", "alice", peer, "--reason", "friends").succeeded) }
        #expect(try await chatctl.run("block", "add", "alice", "dan", "--reason", "asked for", "--yes").succeeded)
        try await phone.goOnline()
        try await bob.goOnline()
        let group = try await phone.session.createGroup("the crew", with: ["bob", "carol"])
        try await phone.session.wait(for: group, .sent, timeout: .seconds(300))
        let sent = try await phone.session.send(Self.texts, to: "bob")
        try await phone.session.wait(for: sent, .delivered, timeout: .seconds(300))
        #expect(try await chatctl.run("device", "revoke", laptop.account.device.description, "--yes", "--reason", "lost").succeeded)
        #expect(try await chatctl.run("user", "suspend", "bob", "--reason", "another person's").succeeded)

        let path = relay.directory.file("alice.json")
        let result = try await chatctl.run("user", "export", "Alice", "--output", path, "--reason", "asked by letter")
        #expect(result.succeeded && result.standardOutput.contains("messages"), "\(result)")
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let archive = try JSONDecoder().decode(Archive.self, from: Data(text.utf8))
        #expect(archive.format == "relayd-user-export" && archive.version == 1 && archive.complete)
        #expect(archive.user.name == "alice" && archive.user.id == phone.account.user && archive.user.noLimits)
        #expect(archive.devices.map(\.id) == [phone.account.device, laptop.account.device])
        #expect(archive.devices.map(\.revoked) == [false, true] && archive.devices.map(\.name) == ["phone", nil])
        #expect(archive.devices.first?.clientMessageID ?? 0 >= 510 && archive.devices.first?.cursor != nil)
        #expect(Data(base64Encoded: archive.devices[0].identityKey)?.count == 32)
        #expect(archive.invites.map(\.state) == [.open, .used, .used])
        #expect(archive.contacts.map(\.peer) == ["bob", "carol", "dan"])
        #expect(archive.contacts.map(\.state) == [.accepted, .accepted, .blocks])
        let direct = try #require(archive.chats.first { $0.kind == .direct }), crew = try #require(archive.chats.first { $0.kind == .group })
        #expect(direct.peerID == bob.account.user && crew.role == "owner" && crew.members == 3 && crew.leftSeq == nil)
        let messages = archive.messages.filter { $0.chat == direct.chat }
        #expect(messages.map(\.chatSeq) == Array(1...510) && messages.allSatisfy { $0.kind == .message && $0.bytes > 0 })
        #expect(messages.allSatisfy { $0.senderUser == phone.account.user && $0.senderDevice == phone.account.device && $0.clientMessageID != nil })
        #expect(archive.messages.contains { $0.chat == crew.chat && $0.kind == .change })
        #expect(
            archive.audit.map(\.operation) == [
                "user/add", "invite/create", "invite/create", "contact/add", "contact/add", "block/add", "device/revoke", "user/export",
            ])
        #expect(archive.audit.last?.reason == "asked by letter")
        // Nobody's words, and nothing about other people that alice has nothing to do with.
        #expect(!text.contains("secret number") && !text.contains("the crew") && !text.contains("another person's"))

        // Dan is told nothing by his archive that the relay does not tell him; here it tells.
        let dan = try await chatctl.run("user", "export", "dan")
        let dans = try JSONDecoder().decode(Archive.self, from: Data(dan.standardOutput.utf8))
        #expect(dans.contacts.map(\.state) == [.blocked] && dans.devices.isEmpty && dans.messages.isEmpty && dans.complete)

        // A file that is there stays as it is.
        let again = try await chatctl.run("user", "export", "alice", "--output", path)
        #expect(again.status == .exited(1) && again.standardError.contains("exists already"), "\(again)")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
        // Alice's and dan's: what had nowhere to go was not asked for.
        let exports = try await chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries.filter { $0.operation == "user/export" }
        #expect(exports.map(\.subject) == ["dan", "alice"])
        let nobody = relay.directory.file("nobody.json")
        #expect(try await chatctl.run("user", "export", "nobody", "--output", nobody).status == .exited(1))
        #expect(!FileManager.default.fileExists(atPath: nobody))
        let nowhere = try await chatctl.run("user", "export", "alice", "--output", relay.directory.file("no/where.json"))
        #expect(nowhere.status == .exited(1) && nowhere.standardError.contains("cannot be made"), "\(nowhere)")
        // A full disk leaves no half of an archive.
        let full = try await Subprocess.run(
            "sh", ["-c", "trap '' XFSZ; exec prlimit --fsize=20000 \(Programs.chatctl) user export alice --output \(nobody)"],
            environment: chatctl.environment)
        #expect(
            full.status == .exited(1) && full.standardError.contains("cannot be written") && !FileManager.default.fileExists(atPath: nobody),
            "\(full)")
        for device in devices.values { try await device.close() }
        await relay.terminate()
    }
}
