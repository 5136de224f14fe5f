import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// Alerts through the real programs: raised by a real sender, shown, acknowledged and handed over.
@Suite("Alerts") struct AlertTests {
    @Test(.timeLimit(.minutes(10))) func fromTheSenderToTheOperator() async throws {
        let folder = try TemporaryDirectory()
        let command = try command(folder)
        let relay = try RelayProcess(limits: ["anomaly_messages": 5], sections: "[alerts]\ncommand = \"\(command)\"")
        try await relay.start()
        let chatctl = relay.chatctl
        let test: AlertTest.Reply = try await chatctl.json(["alert", "test"])
        #expect(test.target == command)
        #expect(try await chatctl.run("alert", "list").standardError.contains("There is no alert."))

        let link = try await chatctl.addUser("alice").invite.link
        let bob = try await chatctl.addUser("bob").invite.link
        let alice = try await TestDevice(name: "alice", link: link, directory: StateDirectory(relay.directory.file("alice")))
        let other = try await TestDevice(name: "bob", link: bob, directory: StateDirectory(relay.directory.file("bob")))
        try await alice.goOnline()
        let sent = try await alice.session.send((1...10).map { "message \($0)" }, to: "bob")
        try await alice.session.wait(for: sent, .sent, timeout: .seconds(300))
        let alert = try await firstAlert(chatctl)
        #expect(alert.kind == "high_send_rate" && alert.severity == .warning && alert.overAt == nil)
        let shown: AlertShow.Reply = try await chatctl.json(["alert", "show", "\(alert.alert)"])
        #expect(shown.user == "alice" && shown.device == nil)
        // The list and the notices say nothing of whom.
        #expect(try await !chatctl.run("alert", "list", "--json").standardOutput.contains("alice"))
        let notices = try await notices(2, in: folder)
        #expect(notices[0].contains("\"state\":\"test\"") && notices[1].contains("\"kind\":\"high_send_rate\""))
        #expect(notices.allSatisfy { !$0.contains("alice") && !$0.contains("\(alice.account.user.rawValue)") })

        // A viewer's or a newcomer's mistakes.
        #expect(try await chatctl.run("alert", "show", "99").status == .exited(1))
        #expect(try await chatctl.run("alert", "ack").status == .exited(64))
        #expect(try await chatctl.run("alert", "ack", "99").status == .exited(1))

        try await relay.kill()
        try await relay.start()
        let known: AlertList.Reply = try await chatctl.json(["alert", "ack", "--all", "--reason", "told her"])
        #expect(known.alerts.map(\.alert) == [alert.alert] && known.alerts[0].acknowledgedAt != nil)
        #expect(try await chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries.first?.reason == "told her")
        #expect(try await chatctl.json(["alert", "list"], as: AlertList.Reply.self).alerts.count == 1)

        // Who is gone is not in an alert any more.
        #expect(try await chatctl.run("user", "remove", "alice", "--yes").succeeded)
        let gone: AlertShow.Reply = try await chatctl.json(["alert", "show", "\(alert.alert)"])
        #expect(gone.user == nil)
        try await alice.close()
        try await other.close()
        await relay.terminate()
        #expect(relay.standardError.contains("kind=high_send_rate") && !relay.standardError.contains("alice"))
    }

    /// relayd gives up a command that hangs, and its answer is what the operator sees.
    @Test(.timeLimit(.minutes(10))) func aCommandThatHangsIsSaid() async throws {
        let folder = try TemporaryDirectory()
        let command = folder.file("hang")
        try "#!/bin/sh\nexec sleep 600\n".write(toFile: command, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: command)
        let relay = try RelayProcess(sections: "[alerts]\ncommand = \"\(command)\"")
        try await relay.start()
        let test = try await relay.chatctl.run("alert", "test")
        #expect(test.status == .exited(1) && test.standardError.contains("it took longer than 30 seconds"), "\(test)")
        await relay.terminate()
    }

    /// The relay ends; before it does, the operator hears of it.
    @Test(.timeLimit(.minutes(10))) func theDiskFails() async throws {
        let folder = try TemporaryDirectory()
        let faults = try Preload.Faults(folder)
        let relay = try RelayProcess(environment: faults.environment, sections: "[alerts]\ncommand = \"\(try command(folder))\"")
        try await relay.start()
        faults.arm(.full, .write)
        #expect(try await !relay.chatctl.run("user", "add", "alice").succeeded)
        #expect(await relay.ended() == .exited(1))
        let notice = try #require(try await notices(1, in: folder).first)
        #expect(notice.contains("\"kind\":\"store_failed\"") && notice.contains("\"severity\":\"critical\""))
        faults.disarm()
        try await relay.start()
        await relay.terminate()
    }

    /// A command that notes what it gets.
    private func command(_ folder: TemporaryDirectory) throws -> String {
        let command = folder.file("notify")
        try "#!/bin/sh\necho \"$RELAYD_ALERT\" >> \(folder.file("notices"))\n".write(toFile: command, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: command)
        return command
    }

    /// Waits for it: the relay looks once a second.
    private func firstAlert(_ chatctl: Chatctl) async throws -> AlertRecord {
        while true {
            if let alert = try await chatctl.json(["alert", "list"], as: AlertList.Reply.self).alerts.first { return alert }
        }
    }

    private func notices(_ count: Int, in folder: TemporaryDirectory) async throws -> [Substring] {
        while true {
            let text = (try? String(contentsOfFile: folder.file("notices"), encoding: .utf8)) ?? ""
            let lines = text.split(separator: "\n")
            if lines.count >= count, text.hasSuffix("\n") { return lines }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
