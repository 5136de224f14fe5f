import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// The log, at its most talkative, tells nothing about who writes to whom, and holds nothing that opens a door.
@Suite("What the log keeps to itself") struct SecrecyTests {
    @Test(.timeLimit(.minutes(10))) func noNamesNumbersTokensTextsOrAddresses() async throws {
        let relay = try RelayProcess(logLevel: "trace")
        try await relay.start()
        let directory = try TemporaryDirectory()
        var canaries: [String: String] = [:]

        let added = try await relay.chatctl.json(["user", "add", "quetzalcoatlus", "--display-name", "Ms Pterodactyl"], as: UserAdd.Reply.self)
        canaries["a user name"] = "quetzalcoatlus"
        canaries["a display name"] = "Pterodactyl"
        canaries["a user's number"] = added.user.id.description
        canaries["an invite code"] = added.invite.code
        canaries["an invite's number"] = added.invite.id.description
        let other = try await relay.chatctl.addUser("archaeopteryx")
        canaries["another user's name"] = "archaeopteryx"

        let left = try await TestDevice(name: "q.fossilphone", link: added.invite.link, directory: StateDirectory(directory.file("left")))
        let right = try await TestDevice(name: "a.amberlaptop", link: other.invite.link, directory: StateDirectory(directory.file("right")))
        canaries["a device's name"] = "fossilphone"
        canaries["a device's number"] = left.account.device.description
        canaries["another device's number"] = right.account.device.description
        try await left.goOnline()
        try await right.goOnline()
        let text = "the amber room is behind the second waterfall"
        canaries["a text"] = "second waterfall"
        let id = try await left.session.send(text, to: "archaeopteryx")
        try await right.wait(for: "the message") { $0.received.contains { $0.text == text } }
        try await left.session.wait(for: [id], .delivered, timeout: .seconds(300))
        if let entry = right.log.received.first {
            canaries["a chat's number"] = entry.chat.description
            canaries["a message's number"] = entry.message.description
            try await right.session.markRead(entry.chat, entry.chatSeq)
        }
        try await left.session.wait(for: [id], .read, timeout: .seconds(300))

        // Things that go wrong are logged most readily.
        let code = try await relay.chatctl.invite("archaeopteryx").code
        canaries["a second invite code"] = code
        let port = relay.port
        let wire = try await blocking {
            let device = try WireDevice(port: port, code: code)
            _ = try? WireDevice(port: port, code: code)
            let connection = try device.connect()
            connection.sendText("{\"requestId\": \"1\", \"read\": {\"chatId\": \"\(device.user)\", \"chatSeq\": \"5\"}}")
            _ = try connection.readText(containing: "error")
            connection.send(RawConnection.frame(opcode: 1, Array("{\"waterfall".utf8)))
            _ = try connection.readCloseCode()
            _ = try RawConnection(port: port).request("GET", "/v1/users?name=quetzalcoatlus", headers: device.authorization)
            _ = try RawConnection(port: port).request("GET", "/v1/users?name=hesperornis", headers: ["Authorization": "Bearer wrongtokenwrongtoken"])
            return (token: device.token, id: device.id)
        }
        canaries["a token"] = wire.token
        canaries["a wrong token"] = "wrongtoken"
        canaries["a name that was asked for"] = "hesperornis"
        canaries["a revoked device's number"] = wire.id
        #expect(try await relay.chatctl.run("device", "revoke", wire.id, "--yes", "--reason", "sold on the fleamarket").succeeded)
        #expect(try await relay.chatctl.run("user", "remove", "archaeopteryx", "--yes").succeeded)
        canaries["an operator's reason"] = "fleamarket"
        try await left.close()
        try await right.close()
        #expect(await relay.terminate() == .exited(0))

        let log = relay.standardError
        #expect(log.count > 100, "the log is too short to prove anything: \(log)")
        for (what, canary) in canaries {
            #expect(!log.lowercased().contains(canary.lowercased()), "the log holds \(what) (\(canary)): \(line(of: canary, in: log))")
        }
        // Its own address is no secret; those of its clients are.
        for match in log.matches(of: /127\.0\.0\.1:(\d+)/) where match.1 != "\(relay.port)" {
            Issue.record("the log holds a client's address: \(line(of: String(match.0), in: log))")
        }
    }

    private func line(of text: String, in log: String) -> String {
        log.split(separator: "\n").first { $0.lowercased().contains(text.lowercased()) }.map(String.init) ?? ""
    }
}
