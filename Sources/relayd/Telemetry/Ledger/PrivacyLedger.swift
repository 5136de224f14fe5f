import RelayCrypto
import RelayModel
import RelayStorage

/// Why figures about people cannot be counted or read just now.
package enum PrivacyLedgerError: Error, Sendable {
    /// More waits for the disk than the relay holds: what was counted waits for the next time.
    case overloaded
    case stopping
    case storeFailed
}

/// Publishes figures about people: counts for a day or a week under hashes whose key dies with the period, then adds noise once, and keeps what came
/// out for ever. Every read, also after a restart and in every format, gives that.
///
/// The protection is ε-differential privacy of a user in a period (`relayd-privacy(7)`): by the clamp nobody changes a figure by more than Δ, and the
/// noise of scale Δ/ε hides as much. Rounding and the threshold come after the noise and see nothing else.
package actor PrivacyLedger {
    private let tally: PeopleTally
    private let writer: Writer
    private let readers: ReaderPool
    private let clock: any WallClock
    private let entropy: any Entropy
    private let online: @Sendable () async -> [(user: UserID, device: DeviceID)]
    private var settings: PeopleSettings
    /// The day that everybody who is online was noted for.
    private var greeted: Int?
    /// Counted, but not in the store yet.
    private var pending: [PeopleCount] = []
    private var pendingForgotten: [PeoplePerson] = []
    /// A key and its tallies may still be in the write-ahead log.
    private var logIsToBeEmptied = false

    /// - Parameter online: who has a connection now: they count for a day that begins, too.
    package init(
        tally: PeopleTally, writer: Writer, readers: ReaderPool, clock: any WallClock, entropy: any Entropy, settings: PeopleSettings,
        online: @escaping @Sendable () async -> [(user: UserID, device: DeviceID)] = { [] }
    ) {
        self.tally = tally
        self.writer = writer
        self.readers = readers
        self.clock = clock
        self.entropy = entropy
        self.settings = settings
        self.online = online
    }

    /// What periods that begin from now on are counted with.
    package func apply(_ settings: PeopleSettings) { self.settings = settings }

    // MARK: Time passes

    /// Closes what ended while nobody was there to do it. Writes nothing when there is nothing to close.
    package func start() async throws(PrivacyLedgerError) {
        // A crash may have come between the last close and the emptying of the log.
        let lately = PeoplePeriod.day(of: clock.now()) - 2 * PeoplePeriod.week.days
        logIsToBeEmptied = try await look { reader in
            try PeopleMetric.allCases.contains { try reader.peopleReleases($0, limit: 1).contains { $0.start >= lately } }
        }
        try await closeEnded()
    }

    /// Once a minute: opens what begins, stores what was counted, closes what has ended.
    package func tick() async throws(PrivacyLedgerError) {
        let today = PeoplePeriod.day(of: clock.now())
        if greeted != today {
            greeted = today
            let now = clock.now()
            for (user, device) in await online() { tally.connected(user, device, at: now) }
        }
        try await flush(opening: [today])
        try await closeEnded()
    }

    /// Stores what was counted, so that a stop loses nothing.
    package func flush() async throws(PrivacyLedgerError) { try await flush(opening: []) }

    private func flush(opening days: [Int]) async throws(PrivacyLedgerError) {
        try await store()
        let open = try await open(Set(days + tally.days))
        let taken = tally.take()
        guard !taken.isEmpty else { return }
        count(taken, in: open)
        try await store()
    }

    /// Makes sure that the periods of these days are open, unless they were published already.
    /// - Returns: all open ones.
    private func open(_ days: Set<Int>) async throws(PrivacyLedgerError) -> [PeopleOpening] {
        let settings = settings
        var wanted: [PeopleMetric: Set<Int>] = [:]
        if settings.isOn {
            for metric in PeopleMetric.allCases where settings[metric].epsilonThousandths > 0 {
                wanted[metric] = Set(days.map { metric.period.start(of: $0) })
            }
        }
        let (known, missing) = try await look { [wanted] reader in
            let known = try reader.peoplePeriods()
            var missing: [(PeopleMetric, Int)] = []
            for (metric, starts) in wanted {
                for start in starts where !known.contains(where: { $0.metric == metric && $0.start == start }) {
                    if try !reader.isReleased(metric, start: start) { missing.append((metric, start)) }
                }
            }
            return (known, missing)
        }
        guard !missing.isEmpty else { return known }
        _ = try await perform(
            .openPeople(
                missing.map { metric, start in
                    PeopleOpening(
                        metric: metric, start: start, parameters: settings[metric], threshold: settings.threshold,
                        minimumUsers: settings.minimumUsers, key: entropy.bytes(32))
                }))
        return try await look { try $0.peoplePeriods() }
    }

    /// Puts hashes in the place of users. What belongs to no open period goes nowhere.
    private func count(_ taken: PeopleTally.Taken, in open: [PeopleOpening]) {
        for period in open {
            if !taken.forgotten.isEmpty {
                let forgotten = Set(taken.forgotten.map { PrivacyLedger.person($0, in: period) })
                pending.removeAll { forgotten.contains($0.person) }
                pendingForgotten += forgotten
            }
            for (day, users) in taken.days where period.metric.period.start(of: day) == period.start {
                for (user, contribution) in users {
                    let count = contribution.count(for: period.metric)
                    guard count > 0 else { continue }
                    let person = PrivacyLedger.person(user, in: period)
                    guard period.metric == .activeDevices else {
                        pending.append(PeopleCount(person: person, count: min(count, period.parameters.clamp)))
                        continue
                    }
                    for device in contribution.devices.prefix(period.parameters.clamp) {
                        pending.append(PeopleCount(person: person, part: PrivacyLedger.hash(device.rawValue, period.key, bytes: 8), count: 1))
                    }
                }
            }
        }
    }

    private func store() async throws(PrivacyLedgerError) {
        while !pending.isEmpty || !pendingForgotten.isEmpty {
            let counts = Array(pending.prefix(Limits.peopleCountsAtOnce))
            let forgotten = Array(pendingForgotten.prefix(Limits.peopleCountsAtOnce))
            // Out of the list first: a second flush may come while this one waits.
            pending.removeFirst(counts.count)
            pendingForgotten.removeFirst(forgotten.count)
            do throws(PrivacyLedgerError) {
                _ = try await perform(.countPeople(PeopleCounts(counts: counts, forgotten: forgotten)))
            } catch {
                pending = counts + pending
                pendingForgotten = forgotten + pendingForgotten
                throw error
            }
        }
    }

    private func closeEnded() async throws(PrivacyLedgerError) {
        let now = clock.now()
        let ended = try await look { try $0.peoplePeriods() }.filter { $0.metric.period.end(from: $0.start) + Limits.peopleGrace <= now }
        for period in ended {
            // Drawn for this command alone. Whichever command for a period comes first is the one that counts; the others change nothing.
            let noise = GeometricNoise(
                clamp: period.parameters.clamp, epsilonThousandths: period.parameters.epsilonThousandths, entropy: entropy)
            let gate = GeometricNoise(clamp: PeopleGate.clamp, epsilonThousandths: PeopleGate.epsilonThousandths, entropy: entropy)
            _ = try await perform(
                .closePeople(
                    PeopleClose(
                        metric: period.metric, start: period.start, noise: noise.draw(), gateNoise: gate.draw(), algorithm: GeometricNoise.algorithm))
            )
            logIsToBeEmptied = true
        }
        // Pages with the key and the tallies are overwritten in the file; older copies of them are in the log.
        if logIsToBeEmptied { logIsToBeEmptied = !(await writer.emptyLog()) }
    }

    // MARK: Hashes

    private static func person(_ user: UserID, in period: PeopleOpening) -> PeoplePerson {
        PeoplePerson(metric: period.metric, start: period.start, person: hash(user.rawValue, period.key, bytes: 16))
    }

    private static func hash(_ number: UInt64, _ key: [UInt8], bytes: Int) -> [UInt8] {
        Array(Hashing.keyed(withUnsafeBytes(of: number.littleEndian) { Array($0) }, key: key).prefix(bytes))
    }

    // MARK: What was published

    /// The last `periods` releases of every figure, oldest first.
    package nonisolated func series(periods: Int) async throws(PrivacyLedgerError) -> [PeopleSeries] {
        try await look { reader in
            try PeopleMetric.allCases.map { PeopleSeries(metric: $0, releases: try reader.peopleReleases($0, limit: periods)) }
        }
    }

    /// What all releases have spent, and what is spent from the next period on.
    package func budget() async throws(PrivacyLedgerError) -> PeopleBudget {
        let settings = settings
        let spent = try await look { try $0.peopleSpending() }
        return PeopleBudget(settings: settings, metrics: spent.metrics, gate: spent.gate)
    }

    // MARK: The store

    private func perform(_ command: Command) async throws(PrivacyLedgerError) -> Outcome {
        do throws(WriterError) { return try await writer.perform(command) } catch {
            throw switch error {
            case .overloaded: .overloaded
            case .stopping: .stopping
            case .storeFailed: .storeFailed
            }
        }
    }

    private nonisolated func look<Result: Sendable>(
        _ body: @escaping @Sendable (Reader) throws -> Result
    ) async throws(PrivacyLedgerError) -> Result {
        do { return try await readers.read(body) } catch WriterError.stopping { throw .stopping } catch { throw .storeFailed }
    }
}
