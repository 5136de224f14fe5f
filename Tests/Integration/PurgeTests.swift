import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

/// Retention through the real programs: a store full of old messages, and a relay that is killed while it purges.
@Suite("Purges") struct PurgeTests {
    /// In the bodies of all old messages.
    private static let mark = "what nobody may read again"
    private static let old = 30_000

    @Test(.timeLimit(.minutes(10))) func aKilledPurgeIsTakenUpAndLeavesNothing() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let chatctl = relay.chatctl
        var devices: [TestDevice] = []
        for name in ["alice", "bob"] {
            let link = try await chatctl.addUser(name).invite.link
            devices.append(try await TestDevice(name: name, link: link, directory: StateDirectory(relay.directory.file(name))))
        }
        let (alice, bob) = (devices[0], devices[1])
        try await alice.goOnline()
        let first = try await alice.session.send(["first"], to: "bob")
        try await alice.session.wait(for: first, .sent, timeout: .seconds(300))
        try await alice.close()
        await relay.terminate()
        try fill(relay)
        try await relay.start()

        let plan: RetentionPlan.Reply = try await chatctl.json(["retention", "plan"])
        #expect(plan.messages == Self.old && plan.chats == 1)
        var kills = 0
        for _ in 0..<5 {
            let last = try await chatctl.json(["retention", "status"], as: RetentionStatus.Reply.self).lastPurge
            let purge = try chatctl.start(["retention", "purge", "--reason", "test"])
            if try await someWent(chatctl, after: last) { kills += 1 }
            try await relay.kill()
            _ = await purge.waitForExit()
            try await relay.start()
        }
        let left = try await chatctl.json(["retention", "plan"], as: RetentionPlan.Reply.self).messages
        // A fast machine may have purged everything before the first kill.
        #expect(left < Self.old, "\(kills) of 5 kills came while it purged")
        let done = try await chatctl.json(["retention", "purge"], as: RetentionStatus.Finished.self)
        #expect(done.extent.messages == left)
        #expect(try await chatctl.run("retention", "purge", "--cron").standardOutput.isEmpty)
        #expect(try await chatctl.json(["retention", "plan"], as: RetentionPlan.Reply.self).messages == 0)
        let verdict: RetentionVerify.Reply = try await chatctl.json(["retention", "verify"])
        #expect(verdict.findings.isEmpty && verdict.purges >= 1)
        #expect(try await chatctl.run("retention", "verify", "--expect", verdict.hash).succeeded)
        #expect(try await !chatctl.run("retention", "verify", "--expect", "00").succeeded)

        // The chat goes on behind the gap.
        try alice.reopen()
        try await alice.goOnline()
        try await bob.goOnline()
        _ = try await alice.session.send(["second"], to: "bob")
        try await bob.wait(for: "the message behind the gap") { $0.received.contains { $0.text == "second" } }
        try await alice.close()
        try await bob.close()
        await relay.terminate()
        #expect(Set(bob.log.received.map(\.text)) == ["second"])
        for name in ["relay.db", "relay.db-wal"] {
            let bytes = FileManager.default.contents(atPath: relay.directory.file(name)) ?? Data()
            #expect(bytes.range(of: Data(Self.mark.utf8)) == nil && bytes.count < 4 << 20, "\(name)")
        }
    }

    /// Everything in the chat becomes two months old, and there is much of it.
    private func fill(_ relay: RelayProcess) throws {
        let database = try Database(path: relay.storePath, access: .readWriteCreate)
        let day = UInt64(86_400_000) << Stamp.counterBits
        try database.transaction {
            try database.execute("UPDATE messages SET message_id = message_id - \(60 * day)")
            try database.execute("UPDATE members SET joined_id = joined_id - \(61 * day)")
            try database.execute(
                """
                WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < \(Self.old - 1))
                INSERT INTO messages (message_id, chat_id, seq, kind, user_id, device_id, client_message_id, extra, keys, body)
                SELECT m.message_id + n * 1000, m.chat_id, m.seq + n, 0, m.user_id, m.device_id, m.client_message_id, NULL, m.keys,
                    CAST('\(Self.mark)' || hex(randomblob(200)) AS BLOB)
                FROM numbers, (SELECT * FROM messages LIMIT 1) m
                """)
        }
    }

    /// Waits until a purge has deleted something, or has ended.
    /// - Parameter last: when the purge before it was.
    private func someWent(_ chatctl: Chatctl, after last: Timestamp?) async throws -> Bool {
        while true {
            let status: RetentionStatus.Reply = try await chatctl.json(["retention", "status"])
            if let progress = status.progress, progress.messages > 0 { return true }
            if status.lastPurge != last { return false }
        }
    }
}
