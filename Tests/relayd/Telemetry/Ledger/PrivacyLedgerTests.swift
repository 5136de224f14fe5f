import Foundation
import NIOCore
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayStorage
@testable import RelayTelemetry

@Suite(.timeLimit(.minutes(10))) struct PrivacyLedgerTests {
    private static let monday = LedgerWorld.monday

    /// Figures that are not rounded, so that a planted noise can be told.
    private static func plain(threshold: Int = 20) -> PeopleSettings {
        var settings = PeopleSettings()
        settings.threshold = threshold
        for metric in PeopleMetric.allCases { settings[metric] = PeopleParameters(clamp: metric.standard.clamp, epsilonThousandths: 1_000_000) }
        return settings
    }

    // MARK: Closing

    @Test func theThresholdIsHeldAgainstTheNoisedValue() async throws {
        let world = try await LedgerWorld(settings: Self.plain())
        for user in world.users.prefix(30) { world.tally.connected(user, DeviceID(1), at: world.clock.now()) }
        try await world.ledger.tick()
        // 30 is above the threshold, what the noise makes of it is not.
        try await world.close(.activeUsers, Self.monday, noise: -11)
        let suppressed = try #require(try await world.release(.activeUsers, Self.monday))
        #expect(suppressed.state == .suppressed && suppressed.value == nil)
        // 0 is below it, what the noise makes of it is not.
        try await world.close(.registrations, Self.monday, noise: 20)
        let released = try #require(try await world.release(.registrations, Self.monday))
        #expect(released.state == .released && released.value == 20 && released.threshold == 20 && released.algorithm == 1)
        #expect(released.parameters == world.settings[.registrations])
        await world.store.close()
    }

    @Test func noiseComesBeforeTheBin() async throws {
        var settings = PeopleSettings()
        settings.threshold = 1
        settings[.activeDevices] = PeopleParameters(clamp: 5, epsilonThousandths: 500)
        let world = try await LedgerWorld(settings: settings)
        #expect(settings[.activeDevices].bin == 10)
        for (number, noise, value) in [(0, Int64(3), 10), (1, 4, 20), (2, -5, 10), (3, -8, nil as Int?)] {
            world.clock.set(day: Self.monday + number)
            for device in 1...11 { world.tally.connected(world.users[device], DeviceID(UInt64(device)), at: world.clock.now()) }
            try await world.ledger.tick()
            try await world.close(.activeDevices, Self.monday + number, noise: noise)
            #expect(try await world.release(.activeDevices, Self.monday + number)?.value == value)
        }
        for (value, bin, rounded) in [(14, 10, 10), (15, 10, 20), (-15, 10, -10), (-16, 10, -20), (7, 1, 7), (4, 3, 3), (5, 3, 6), (-1, 3, 0)] {
            #expect(SQLiteEngine.round(Int64(value), to: Int64(bin)) == Int64(rounded))
        }
        await world.store.close()
    }

    @Test func aClosedPeriodStaysAsItIs() async throws {
        let world = try await LedgerWorld(settings: Self.plain())
        try await world.ledger.tick()
        try await world.close(.activeUsers, Self.monday, noise: 100)
        let first = try await world.release(.activeUsers, Self.monday)
        try await world.close(.activeUsers, Self.monday, noise: 200)
        // Neither is it opened again, nor counted.
        for user in world.users { world.tally.connected(user, DeviceID(1), at: world.clock.now()) }
        try await world.ledger.tick()
        let key = [UInt8](repeating: 1, count: 32)
        let again = PeopleOpening(
            metric: .activeUsers, start: Self.monday, parameters: .init(clamp: 1, epsilonThousandths: 1), threshold: 1, minimumUsers: 50, key: key)
        try await world.perform(.openPeople([again]))
        try await world.close(.activeUsers, Self.monday, noise: 300)
        #expect(try await !world.open().contains { $0.metric == .activeUsers })
        #expect(try await world.release(.activeUsers, Self.monday) == first && first?.value == 100)
        #expect(try world.counted(.activeUsers, Self.monday) == (0, 0))
        // One that never was does nothing.
        try await world.close(.activeUsers, Self.monday + 1, noise: 100)
        #expect(try await world.release(.activeUsers, Self.monday + 1) == nil)
        await world.store.close()
    }

    @Test func withFewUsersNothingIsPublished() async throws {
        let world = try await LedgerWorld(users: 45, settings: Self.plain(threshold: 1))
        let metrics = PeopleMetric.allCases.filter { $0.period == .day }
        func day(_ day: Int, gateNoise: Int64) async throws -> [PeopleRelease.State] {
            world.clock.set(day: day)
            try await world.ledger.tick()
            var states: [PeopleRelease.State] = []
            for metric in metrics {
                try await world.close(metric, day, noise: 1000, gateNoise: gateNoise)
                states.append(try #require(try await world.release(metric, day)).state)
            }
            return states
        }
        // 45 are too few; that is asked once in the week, whatever noise the others brought.
        #expect(try await day(Self.monday, gateNoise: 4).allSatisfy { $0 == .withheld })
        #expect(try await day(Self.monday + 6, gateNoise: 1000).allSatisfy { $0 == .withheld })
        // With 5 of noise they are enough, and then 40 are.
        #expect(try await day(Self.monday + 7, gateNoise: 5).allSatisfy { $0 == .released })
        #expect(try await day(Self.monday + 14, gateNoise: -5).allSatisfy { $0 == .released })
        #expect(try await day(Self.monday + 21, gateNoise: -6).allSatisfy { $0 == .withheld })
        #expect(try await day(Self.monday + 28, gateNoise: -5).allSatisfy { $0 == .withheld })
        // What was withheld cost the question only.
        let budget = try await world.ledger.budget()
        #expect(budget.gate == PeopleSpending(releases: 5, thousandths: 1000))
        #expect(budget.metrics[.activeUsers] == PeopleSpending(releases: 2, thousandths: 2_000_000))
        await world.store.close()
    }

    // MARK: Counting

    /// Against a model: whatever users do, in as many flushes, with restarts between, each counts for at most the clamp.
    @Test func contributionsAreClamped() async throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<4 {
            var settings = Self.plain(threshold: 1)
            settings[.messagesAccepted].clamp = Int.random(in: 1...100, using: &random)
            settings[.activeDevices].clamp = Int.random(in: 1...6, using: &random)
            let world = try await LedgerWorld(settings: settings)
            var messages: [UserID: Int] = [:]
            var devices: [UserID: Set<UInt64>] = [:]
            for _ in 0..<8 {
                for _ in 0..<30 {
                    let user = world.users[Int.random(in: 0..<20, using: &random)]
                    if Bool.random(using: &random) {
                        let count = Int.random(in: 1...40, using: &random)
                        world.sent(count, by: user)
                        messages[user, default: 0] += count
                    } else {
                        let device = user.rawValue + UInt64.random(in: 0..<7, using: &random)
                        world.tally.connected(user, DeviceID(device), at: world.clock.now())
                        devices[user, default: []].insert(device)
                    }
                }
                try await world.ledger.tick()
                // What was stored is neither lost nor counted twice.
                if Bool.random(using: &random) { try await world.reopen() }
            }
            for metric in [PeopleMetric.messagesAccepted, .activeDevices, .activeUsers] { try await world.close(metric, Self.monday, noise: 0) }
            let expected: [PeopleMetric: Int] = [
                .messagesAccepted: messages.values.reduce(0) { $0 + min($1, settings[.messagesAccepted].clamp) },
                .activeDevices: devices.values.reduce(0) { $0 + min($1.count, settings[.activeDevices].clamp) },
                .activeUsers: devices.count,
            ]
            for (metric, count) in expected {
                let value = try await world.release(metric, Self.monday)?.value
                // A bin may be wider than one where the clamp is.
                #expect(value == Int(SQLiteEngine.round(Int64(count), to: Int64(settings[metric].bin))), "\(metric), seed \(seed)")
            }
            await world.store.close()
        }
    }

    @Test func whatHappensIsCountedWhereItIsApplied() async throws {
        let world = try await LedgerWorld(settings: Self.plain())
        let (alice, bob) = (try await world.addUser("alice"), try await world.addUser("bob"))
        let devices = [try await world.enrol("alice"), try await world.enrol("bob")]
        guard case .chatOpened(let chat) = try await world.perform(.openChat(alice, bob)) else { throw LedgerWorld.Failure() }
        for number in UInt64(1)...5 {
            let send = Send(
                user: alice, device: devices[0], chat: chat, clientMessageID: number, body: .init(string: "x"),
                keys: zip([alice, bob], devices).map { user, device in
                    var packed = PackedKeys()
                    packed.append(device, key: [UInt8](repeating: 7, count: 48))
                    return MemberKeys(user: user, keys: packed)
                })
            // A retry is no second message.
            for _ in 1...2 { guard case .sent = try await world.perform(.send(send)) else { throw LedgerWorld.Failure() } }
        }
        let page = try await world.store.readers.read { try $0.mailbox(of: bob, after: 0, limit: 100, bytes: 1 << 20).envelopes.map(\.mailboxSeq) }
        // Bob has two of five, one of those that go was never his to get.
        try await world.perform(.acknowledge([Acknowledge(user: bob, device: devices[1], mailboxSeq: page[1], delivered: [])]))
        guard case .purged(4, let unread, _) = try await world.perform(.purge([PurgeEnd(chat: chat, seq: 4, mayBeUnread: true)])) else {
            throw LedgerWorld.Failure()
        }
        #expect(unread == [bob: 2])
        for action in [ContactAction.block, .block, .unblock, .block] {
            try await world.perform(.contact(ContactCommand(user: bob, peer: alice, action: action)))
        }
        let actor = Actor(uid: 0, operation: "block/add", subject: "alice")
        try await world.perform(.contact(ContactCommand(user: alice, peer: world.users[3], action: .block)), actor: actor)
        try await world.ledger.tick()
        #expect(try world.counted(.messagesAccepted, Self.monday) == (1, 5))
        #expect(try world.counted(.expiredUnread, Self.monday) == (1, 2))
        #expect(try world.counted(.registrations, Self.monday) == (2, 2))
        #expect(try world.counted(.blocksAndReports, Self.monday) == (1, 2))
        #expect(try world.counted(.activeUsers, Self.monday) == (0, 0))
        await world.store.close()
    }

    @Test func anErasedUserIsForgotten() async throws {
        let world = try await LedgerWorld(settings: Self.plain())
        for user in world.users.prefix(10) {
            world.tally.connected(user, DeviceID(user.rawValue), at: world.clock.now())
            world.sent(3, by: user)
        }
        try await world.ledger.tick()
        #expect(try world.counted(.messagesAccepted, Self.monday) == (10, 30))
        let gone = world.users[4]
        world.sent(3, by: gone)
        let fingerprint = try await world.store.readers.read { try $0.erasureFingerprint(of: gone, grace: 0) }
        let erase = EraseUser(user: gone, fingerprint: fingerprint, grace: .zero, uid: 0)
        guard case .userGone = try await world.perform(.eraseUser(erase)) else { throw LedgerWorld.Failure() }
        try await world.ledger.tick()
        for metric in [PeopleMetric.activeUsers, .activeDevices, .messagesAccepted] { #expect(try world.counted(metric, Self.monday).rows == 9) }
        await world.store.close()
    }

    @Test func settingsHoldFromTheNextPeriodOn() async throws {
        let world = try await LedgerWorld(settings: Self.plain(threshold: 1))
        try await world.ledger.tick()
        var settings = Self.plain(threshold: 7)
        settings[.activeUsers].epsilonThousandths = 500
        settings[.activeDevices].epsilonThousandths = 0
        await world.ledger.apply(settings)
        try await world.ledger.tick()
        world.clock.set(day: Self.monday + 1, seconds: 30)
        try await world.ledger.tick()
        let open = try await world.open()
        let (today, week) = (open.filter { $0.start == Self.monday + 1 }, open.filter { $0.start == Self.monday })
        #expect(today.map(\.metric).sorted() == [.activeUsers, .messagesAccepted, .expiredUnread, .registrations])
        #expect(today.allSatisfy { $0.threshold == 7 } && today.first { $0.metric == .activeUsers }?.parameters.epsilonThousandths == 500)
        #expect(week.map(\.metric) == [.blocksAndReports] && week[0].threshold == 1)
        let released = try #require(try await world.release(.activeUsers, Self.monday))
        #expect(released.threshold == 1 && released.parameters.epsilonThousandths == 1_000_000)
        #expect(try await world.release(.activeDevices, Self.monday) != nil)
        settings.isOn = false
        await world.ledger.apply(settings)
        world.clock.set(day: Self.monday + 30)
        try await world.ledger.tick()
        #expect(try await world.open().isEmpty)
        #expect(try await world.ledger.budget().perWeek == 0)
        await world.store.close()
    }

    // MARK: Time

    @Test func missedPeriodsAreClosedAtTheStart() async throws {
        let world = try await LedgerWorld()
        try await world.ledger.tick()
        world.clock.set(day: Self.monday + 3, seconds: 60)
        try await world.ledger.tick()
        #expect(try await world.release(.activeUsers, Self.monday) != nil)
        try await world.reopen()
        world.clock.set(day: Self.monday + 40)
        try await world.ledger.start()
        #expect(try await world.open().isEmpty)
        for metric in PeopleMetric.allCases {
            let start = metric.period.start(of: Self.monday + 3)
            #expect(try await world.release(metric, start) != nil, "\(metric)")
            // Nothing was counted meanwhile, so that nothing is said of it.
            #expect(try await world.release(metric, metric.period.start(of: Self.monday + 20)) == nil)
        }
        await world.store.close()
    }

    @Test func aPeriodIsClosedSomeSecondsAfterItsEnd() async throws {
        let world = try await LedgerWorld()
        try await world.ledger.tick()
        world.clock.set(day: Self.monday + 1, seconds: 9)
        try await world.ledger.tick()
        #expect(try await world.release(.activeUsers, Self.monday) == nil)
        world.clock.set(day: Self.monday + 1, seconds: 10)
        try await world.ledger.tick()
        #expect(try await world.release(.activeUsers, Self.monday) != nil)
        #expect(try await world.open().filter { $0.metric == .blocksAndReports }.map(\.start) == [Self.monday])
        await world.store.close()
    }

    @Test func aClockThatStepsBackOpensNothingAgain() async throws {
        let world = try await LedgerWorld(settings: Self.plain(threshold: 1))
        for user in world.users { world.tally.connected(user, DeviceID(1), at: world.clock.now()) }
        try await world.ledger.tick()
        world.clock.set(day: Self.monday + 1, seconds: 60)
        try await world.ledger.tick()
        let first = try await world.ledger.series(periods: 10)
        let spent = try await world.ledger.budget().spent
        world.clock.set(day: Self.monday, seconds: 60)
        for user in world.users.prefix(7) { world.tally.connected(user, DeviceID(1), at: world.clock.now()) }
        try await world.ledger.tick()
        #expect(try await world.open().filter { $0.metric.period == .day }.allSatisfy { $0.start == Self.monday + 1 })
        #expect(try await world.ledger.series(periods: 10) == first)
        #expect(try await world.ledger.budget().spent == spent)
        // The day that is still open goes on.
        world.clock.set(day: Self.monday + 1, seconds: 120)
        for user in world.users.prefix(5) { world.tally.connected(user, DeviceID(1), at: world.clock.now()) }
        try await world.ledger.tick()
        #expect(try world.counted(.activeUsers, Self.monday + 1) == (5, 5))
        await world.store.close()
    }

    @Test func everybodyWhoIsOnlineCountsForTheNewDay() async throws {
        let world = try await LedgerWorld()
        let online = world.users.prefix(8).map { (user: $0, device: DeviceID($0.rawValue)) }
        let ledger = PrivacyLedger(
            tally: world.tally, writer: world.store.writer, readers: world.store.readers, clock: world.clock, entropy: world.entropy,
            settings: world.settings, online: { online })
        for day in 0..<3 {
            world.clock.set(day: Self.monday + day, seconds: 1)
            try await ledger.tick()
            #expect(try world.counted(.activeDevices, Self.monday + day) == (8, 8))
        }
        await world.store.close()
    }

    // MARK: What stays

    @Test func tenThousandReadsAndARestartGiveOneValue() async throws {
        let world = try await LedgerWorld(users: 200)
        for user in world.users { world.tally.connected(user, DeviceID(user.rawValue), at: world.clock.now()) }
        try await world.ledger.tick()
        world.clock.set(day: Self.monday + 7, seconds: 60)
        try await world.ledger.tick()
        let first = try await world.ledger.series(periods: 30)
        let text = PeopleExposition.text(first)
        // With 200 users noise makes neither the gate nor the figure fail in the life of the universe.
        let value = try #require(first.first { $0.metric == .activeUsers }?.releases.last?.value)
        #expect(text.contains("\nrelayd_people_active_users \(value)\n"))
        for _ in 0..<5000 { #expect(try await world.ledger.series(periods: 30) == first) }
        try await world.reopen()
        try await world.ledger.start()
        for _ in 0..<5000 {
            let again = try await world.ledger.series(periods: 30)
            #expect(again == first && PeopleExposition.text(again) == text)
        }
        await world.store.close()
    }

    @Test func whatWasSpentNeverBecomesLess() async throws {
        var settings = PeopleSettings()
        let world = try await LedgerWorld(users: 200, settings: settings)
        var spent = 0
        var releases = 0
        for day in 0..<30 {
            settings[.activeUsers].epsilonThousandths = day % 7 * 100
            settings.isOn = day % 5 != 4
            await world.ledger.apply(settings)
            world.clock.set(day: Self.monday + day, seconds: 60)
            try await world.ledger.tick()
            if day % 10 == 9 { try await world.reopen() }
            let budget = try await world.ledger.budget()
            #expect(budget.spent >= spent && budget.metrics.values.reduce(0, { $0 + $1.releases }) >= releases)
            (spent, releases) = (budget.spent, budget.metrics.values.reduce(0) { $0 + $1.releases })
            let sum = try await world.store.readers.read { reader in
                try PeopleMetric.allCases.flatMap { try reader.peopleReleases($0, limit: 1000) }.filter { $0.state != .withheld }
                    .reduce(0) { $0 + $1.parameters.epsilonThousandths }
            }
            #expect(spent == sum + budget.gate.thousandths)
        }
        #expect(spent > 10_000)
        await world.store.close()
        // Not even with SQL, short of taking the triggers away.
        let database = try Database(path: world.directory.file("relay.db"), access: .readWriteCreate)
        for table in ["people_releases", "people_gates"] {
            #expect(throws: SQLiteError.self) { try database.execute("DELETE FROM \(table)") }
            #expect(throws: SQLiteError.self) { try database.execute("UPDATE \(table) SET epsilon = 0") }
        }
    }

    @Test func keysAndTalliesAreNotInTheFilesAfterwards() async throws {
        let world = try await LedgerWorld()
        for user in world.users {
            world.tally.connected(user, DeviceID(user.rawValue), at: world.clock.now())
            world.sent(20, by: user)
        }
        try await world.ledger.tick()
        let secrets: [[UInt8]] = try {
            let database = try Database(path: world.directory.file("relay.db"), access: .readOnly)
            var found: [[UInt8]] = []
            for sql in ["SELECT key FROM people_periods", "SELECT person FROM people_tallies", "SELECT part FROM people_tallies WHERE part != x''"] {
                let rows = try database.prepare(sql)
                while try rows.step() { found.append(rows.bytes(0)) }
            }
            return found
        }()
        let rows = 60 * 4
        #expect(secrets.count == 6 + rows)
        #expect(secrets.allSatisfy { world.contains($0) })
        // Users are in it under their numbers, but not as people who were counted.
        world.clock.set(day: Self.monday + 7, seconds: 60)
        try await world.ledger.start()
        #expect(try await world.open().isEmpty)
        #expect(secrets.filter { world.contains($0) }.isEmpty)
        #expect(world.entropy.drawnKeys.allSatisfy { !world.contains($0) })
        await world.store.close()
    }

    /// A crash between closing and clearing: the next start clears.
    @Test func whatACrashLeftInTheLogIsClearedAtTheStart() async throws {
        let world = try await LedgerWorld()
        for user in world.users { world.sent(20, by: user) }
        try await world.ledger.tick()
        let keys = world.entropy.drawnKeys
        for opening in try await world.open() { try await world.close(opening.metric, opening.start, noise: 0) }
        #expect(!keys.isEmpty && keys.contains { world.contains($0) }, "the log still has them")
        try await world.ledger.start()
        #expect(keys.allSatisfy { !world.contains($0) })
        await world.store.close()
    }

    /// The noise that the ledger draws is that of the period's own parameters.
    @Test func theNoiseHasThePeriodsScale() async throws {
        var settings = PeopleSettings()
        settings.threshold = 1
        settings[.activeUsers] = PeopleParameters(clamp: 1, epsilonThousandths: 1000)
        for metric in PeopleMetric.allCases where metric != .activeUsers { settings[metric].epsilonThousandths = 0 }
        let world = try await LedgerWorld(users: 200, settings: settings)
        let days = 300
        for day in 0..<days {
            world.clock.set(day: Self.monday + day, seconds: 60)
            for user in world.users { world.tally.connected(user, DeviceID(1), at: world.clock.now()) }
            try await world.ledger.tick()
        }
        world.clock.set(day: Self.monday + days, seconds: 60)
        try await world.ledger.tick()
        let noise = try await world.store.readers.read { try $0.peopleReleases(.activeUsers, limit: 1000) }.compactMap(\.value).map { $0 - 200 }
        #expect(noise.count == days)
        // 0 in 46 % of all cases; five standard deviations are 43 of 300.
        #expect(abs(noise.filter { $0 == 0 }.count - 139) < 43)
        // The mean of |x| is 0.85; with half or twice the ε it would be 1.92 or 0.28.
        let mean = Double(noise.reduce(0) { $0 + abs($1) }) / Double(days)
        #expect((0.5...1.3).contains(mean), "\(mean)")
        #expect(noise.contains { $0 > 0 } && noise.contains { $0 < 0 })
        await world.store.close()
    }
}
