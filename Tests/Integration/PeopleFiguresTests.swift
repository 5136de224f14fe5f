import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

/// Figures about people through the real programs: counted by a running relay, published when their day is over, and the same ever after.
@Suite("Figures about people") struct PeopleFiguresTests {
    @Test(.timeLimit(.minutes(15))) func aDayIsCountedAndPublishedOnce() async throws {
        try await beginWithADayAhead()
        let relay = try RelayProcess()
        try await relay.start()
        let chatctl = relay.chatctl
        let empty = try await chatctl.run("metrics", "people")
        #expect(empty.succeeded && empty.standardOutput.contains("Nothing was published yet"))
        var devices: [TestDevice] = []
        for name in ["alice", "bob"] {
            let link = try await chatctl.addUser(name).invite.link
            devices.append(try await TestDevice(name: name, link: link, directory: StateDirectory(relay.directory.file(name))))
            try await devices.last?.goOnline()
        }
        for text in ["one", "two", "three"] {
            let sent = try await devices[0].session.send([text], to: "bob")
            try await devices[0].session.wait(for: sent, .sent, timeout: .seconds(300))
        }
        for device in devices { try await device.close() }
        // What was counted since the last minute is stored at the stop.
        #expect(await relay.terminate() == .exited(0))
        let secrets = try makeYesterday(of: relay)
        #expect(secrets.allSatisfy { contains($0, relay) })

        try await relay.start()
        let published = try await released(chatctl)
        func last(_ metric: PeopleMetric) -> PeopleReleaseRecord? { published.series.first { $0.metric == metric }?.releases.last }
        // 500 rows were put beside those of alice and bob; noise takes or adds more than 100 once in 10,000,000,000,000 times.
        let users = try #require(last(.activeUsers)?.value)
        #expect((400...604).contains(users) && last(.activeUsers)?.state == .released && last(.activeUsers)?.plusMinus == 11)
        #expect(PeopleMetric.allCases.allSatisfy { last($0) != nil })
        let page = try await chatctl.run("metrics", "people").standardOutput
        #expect(page.contains("active users") && page.contains(" \(users) ") && page.contains("week of "))
        let budget: MetricsBudget.Reply = try await chatctl.json(["metrics", "budget"])
        #expect(budget.perDayThousandths == 900 && budget.perWeekThousandths == 6600)
        // Yesterday and the week before are in one week on a Monday only.
        let questions = try #require(budget.metrics.last?.releases)
        #expect((1...2).contains(questions) && budget.spentThousandths == 900 + 100 + questions * 200)

        // The same in every format and after any end, and nothing is left of what it was counted from.
        for end in [
            relay.terminate,
            {
                try await relay.kill(); return nil
            },
        ] {
            _ = try await end()
            try await relay.start()
            #expect(try await chatctl.json(["metrics", "people"], as: MetricsPeople.Reply.self) == published)
            #expect(try await relay.control.call(MetricsPeople()) == published)
            #expect(try await relay.control.call(MetricsBudget()) == budget)
        }
        await relay.terminate()
        #expect(secrets.filter { contains($0, relay) }.isEmpty)
    }

    /// A day that ends during the test would be published as well: close to midnight it waits for the new day.
    private func beginWithADayAhead() async throws {
        let now = SystemWallClock().now()
        let midnight = PeoplePeriod.day.end(from: PeoplePeriod.day(of: now))
        let left = Duration.milliseconds(midnight.milliseconds - now.milliseconds)
        if left < .seconds(300) { try await Task.sleep(for: left + Limits.peopleGrace) }
    }

    /// Turns what is being counted into something that is over, and gives it company, so that it is published.
    /// - Returns: keys and hashes that must go.
    private func makeYesterday(of relay: RelayProcess) throws -> [[UInt8]] {
        let database = try Database(path: relay.storePath, access: .readWriteCreate)
        func counted(_ metric: PeopleMetric) throws -> Int64? {
            try database.integer("SELECT sum(tally) FROM people_tallies WHERE metric = '\(metric.rawValue)'")
        }
        #expect(try counted(.activeUsers) == 2 && counted(.activeDevices) == 2 && counted(.messagesAccepted) == 3 && counted(.registrations) == 2)
        try database.execute("UPDATE people_periods SET start = start - CASE metric WHEN 'blocks_and_reports' THEN 7 ELSE 1 END")
        try database.execute("UPDATE people_tallies SET start = start - CASE metric WHEN 'blocks_and_reports' THEN 7 ELSE 1 END")
        try database.execute(
            """
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500)
            INSERT INTO people_tallies (metric, start, person, part, tally)
            SELECT metric, start, randomblob(16), x'', 1 FROM people_periods, numbers WHERE metric = 'active_users'
            """)
        try database.execute(
            """
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500)
            INSERT INTO users (user_id, name) SELECT n, 'user' || n FROM numbers
            """)
        var secrets: [[UInt8]] = []
        for sql in ["SELECT key FROM people_periods", "SELECT person FROM people_tallies"] {
            let rows = try database.prepare(sql)
            while try rows.step() { secrets.append(rows.bytes(0)) }
        }
        return secrets
    }

    /// Waits until all that is over is published: relayd begins with it when it starts.
    private func released(_ chatctl: Chatctl) async throws -> MetricsPeople.Reply {
        while true {
            let reply: MetricsPeople.Reply = try await chatctl.json(["metrics", "people", "--periods", "366"])
            if reply.series.allSatisfy({ !$0.releases.isEmpty }) { return reply }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private func contains(_ bytes: [UInt8], _ relay: RelayProcess) -> Bool {
        ["relay.db", "relay.db-wal"].contains { FileManager.default.contents(atPath: relay.directory.file($0))?.range(of: Data(bytes)) != nil }
    }
}
