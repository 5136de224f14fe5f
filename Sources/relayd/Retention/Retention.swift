import RelayModel
import RelayStorage
import Synchronization

/// Why nothing was purged, or not everything.
package enum RetentionError: Error, Sendable {
    /// A purge is under way; there is one at a time.
    case running
    /// It was told to stop. What went is gone; the next run takes up what is left.
    case stopped
    case overloaded
    case stopping
    case storeFailed
    case classUnknown
    case classLimitReached(limit: Int)
    case userUnknown
}

/// What goes by one rule.
package struct RetentionShare: Sendable, Equatable {
    package var messages = 0
    /// Of bodies and keys.
    package var bytes = 0
    package init() {}
}

/// What a purge took, or would take now.
package struct PurgeExtent: Sendable, Equatable {
    package var at: Timestamp
    package var shares: [RetentionRule: RetentionShare] = [:]
    package var chats = 0

    package var messages: Int { shares.values.reduce(0) { $0 + $1.messages } }
    package var bytes: Int { shares.values.reduce(0) { $0 + $1.bytes } }
}

package struct PurgeReport: Sendable, Equatable {
    package var extent: PurgeExtent
    /// Bytes of the file that the file system has back.
    package var released: Int
    package var took: Duration
}

/// How far a purge is.
package struct PurgeProgress: Sendable, Equatable {
    package enum Phase: String, Codable, Sendable { case looking, deleting, releasing }
    package var phase = Phase.looking
    package var startedAt: Timestamp
    /// Of the chats that have something to purge, as far as they are known.
    package var chats = 0
    package var messages = 0
    package var bytes = 0
    /// Of the time that goes, 0 to 1.
    package var fraction = 0.0
}

/// What `verify` found.
package struct RetentionVerdict: Sendable, Equatable {
    package var purges = 0
    package var lastPurge: Timestamp?
    /// Of the last entry; whoever writes it down can tell later whether the end of the chain was cut off.
    package var hash: [UInt8] = PurgeProof.beginning
    /// Sentences; empty when all is well.
    package var findings: [String] = []
}

/// Deletes what the policies do not keep: plans, purges in bounded steps beside the traffic, gives space back, and proves it.
///
/// One purge at a time. It keeps nothing on the disk about how far it is: what is left is found anew, after a crash as well.
package actor Retention {
    private let writer: Writer
    private let readers: ReaderPool
    private let clock: any WallClock
    private let monotonic: any MonotonicClock
    /// Members of larger groups fetch messages: nobody knows which of their devices has which.
    private let pushMembers: Int
    private let alerts: (any AlertSink)?
    private let rest: @Sendable (Duration) async throws -> Void
    private var told = false
    private let state = Mutex<PurgeProgress?>(nil)
    /// Purges since the start, and what became of the last one.
    private var begun = 0
    private var ended: (number: Int, result: Result<PurgeReport, RetentionError>)?

    /// - Parameter rest: waits between two steps.
    package init(
        writer: Writer, readers: ReaderPool, clock: any WallClock, monotonic: any MonotonicClock, pushMembers: Int,
        alerts: (any AlertSink)? = nil, rest: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        self.writer = writer
        self.readers = readers
        self.clock = clock
        self.monotonic = monotonic
        self.pushMembers = pushMembers
        self.alerts = alerts
        self.rest = rest
    }

    /// Nil when no purge is under way. Any thread.
    package nonisolated var progress: PurgeProgress? { state.withLock { $0 } }

    // MARK: Policies

    /// By class of users; '' are all that have none.
    package func policies() async throws(RetentionError) -> [String: RetentionPolicy] { try await look { try $0.retentionPolicies() } }

    package func classes() async throws(RetentionError) -> [String: Int] { try await look { try $0.retentionClasses() } }

    /// - Parameter policy: nil takes the class's policy away, and its users out of it.
    package func set(_ policy: RetentionPolicy?, of name: String, actor: Actor) async throws(RetentionError) {
        let known = try await policies()
        if policy == nil, name.isEmpty || known[name] == nil { throw .classUnknown }
        if policy != nil, known[name] == nil, known.count > Limits.retentionClasses { throw .classLimitReached(limit: Limits.retentionClasses) }
        try await perform(.setRetention(SetRetention(name: name, policy: policy)), actor)
    }

    /// - Parameter name: nil: none.
    package func assign(_ user: UserID, to name: String?, actor: Actor) async throws(RetentionError) {
        if let name, try await policies()[name] == nil || name.isEmpty { throw .classUnknown }
        try await perform(.assignRetention(user, name), actor)
    }

    // MARK: Plan

    /// What a purge would take now, rule by rule.
    package func plan() async throws(RetentionError) -> PurgeExtent {
        let planner = RetentionPlanner(now: clock.now())
        let policies = try await policies()
        var extent = PurgeExtent(at: planner.now)
        var from: ChatID? = ChatID(0)
        while let chat = from {
            let found = try await survey(planner, policies, from: chat)
            from = found.next
            extent.chats += found.chats.count
            try await walk(found, planner, rows: { Limits.purgeStepRowsCeiling }) { messages throws(RetentionError) in
                RetentionPlanner.count(messages, found.chats, planner, into: &extent.shares)
            }
        }
        return extent
    }

    /// Chats of which something goes, up to as many as may be kept in mind.
    private struct Survey: Sendable {
        var chats: [ChatID: RetentionPlanner.Facts] = [:]
        /// All that goes is from here...
        var first = MessageID(UInt64(Int64.max))
        /// ... to here.
        var last = MessageID(0)
        var next: ChatID?
    }

    /// - Parameter mayBeTold: it is for the purge, which an operator can stop.
    private func survey(
        _ planner: RetentionPlanner, _ policies: [String: RetentionPolicy], from start: ChatID, agesOnly: Bool = false, mayBeTold: Bool = false
    ) async throws(RetentionError) -> Survey {
        var survey = Survey()
        var overflows: [UserID: UInt64] = [:]
        var from: ChatID? = start
        while let chat = from, survey.chats.count < Limits.purgeChats {
            if mayBeTold { try checkTold() }
            let pushMembers = pushMembers
            let (known, before) = (overflows, survey)
            let (found, users, next) = try await look { reader in
                var (found, users) = (before, known)
                let page = try reader.holdings(after: chat, limit: Limits.purgePage)
                for holding in page.chats {
                    let facts = try Retention.facts(of: holding, policies, agesOnly, pushMembers, reader, &users)
                    guard let end = planner.end(facts), end >= holding.oldest else { continue }
                    found.chats[holding.chat] = facts
                    found.first = min(found.first, holding.oldest)
                    found.last = max(found.last, end)
                }
                return (found, users, page.next)
            }
            (survey, overflows, from) = (found, users, next)
            await Task.yield()
        }
        survey.next = from
        return survey
    }

    /// - Parameters:
    ///   - agesOnly: as if nobody had anything: what must go in any case.
    ///   - overflows: of users that were looked at already.
    private static func facts(
        of holding: ChatHoldings, _ policies: [String: RetentionPolicy], _ agesOnly: Bool, _ pushMembers: Int, _ reader: Reader,
        _ overflows: inout [UserID: UInt64]
    ) throws -> RetentionPlanner.Facts {
        let standing = try reader.standing(of: holding.chat)
        func policy(_ name: String) -> RetentionPolicy { policies[name] ?? policies[""] ?? .standard }
        let names = Set(standing.members.map(\.name))
        var facts = RetentionPlanner.Facts(
            policy: names.dropFirst().reduce(policy(names.first ?? "")) { $0.longer(than: policy($1)) }, acknowledged: 0, beyondSpace: 0)
        // Of a chat that everybody has left nobody waits for anything.
        if standing.members.count <= pushMembers { facts.acknowledged = standing.acknowledged ?? (standing.members.isEmpty ? UInt64(Int64.max) : 0) }
        if agesOnly { facts.acknowledged = 0 }
        guard facts.policy.userBytes != nil, facts.acknowledged >= holding.oldest.rawValue, !standing.members.isEmpty else { return facts }
        facts.beyondSpace = .max
        for (user, name) in standing.members where facts.beyondSpace > 0 {
            let known = overflows[user]
            let overflow = try known ?? (policy(name).userBytes.flatMap { try reader.overflow(of: user, bytes: $0)?.rawValue } ?? 0)
            overflows[user] = overflow
            facts.beyondSpace = min(facts.beyondSpace, overflow)
        }
        return facts
    }

    /// Shows `body` the messages that go, oldest first, `rows` of the store's at a time.
    private func walk(
        _ survey: Survey, _ planner: RetentionPlanner, rows: () -> Int, mayBeTold: Bool = false,
        _ body: ([HeldMessage]) async throws(RetentionError) -> Void
    ) async throws(RetentionError) {
        guard !survey.chats.isEmpty else { return }
        let ends = survey.chats.compactMapValues { planner.end($0) }
        var after = MessageID(survey.first.rawValue - 1)
        while true {
            if mayBeTold { try checkTold() }
            let (from, limit) = (after, rows())
            let page = try await look { try $0.held(after: from, upTo: survey.last, limit: limit) }
            let gone = page.filter { message in ends[message.chat].map { message.id <= $0 } ?? false }
            if !gone.isEmpty { try await body(gone) }
            guard page.count == limit, let last = page.last else { return }
            after = last.id
        }
    }

    // MARK: Purge

    /// Deletes what the policies do not keep, gives space back, and adds an entry to the proof.
    /// - Throws: ``RetentionError/running`` when a purge is under way already.
    @discardableResult
    package func purge() async throws(RetentionError) -> PurgeReport {
        let planner = try claim()
        return try await run(nil, planner).get()
    }

    /// Begins a purge in the background.
    /// - Returns: its number since the start, with which ``look(at:)`` tells it.
    /// - Throws: ``RetentionError/running`` when a purge is under way already.
    package func begin() throws(RetentionError) -> Int {
        let planner = try claim()
        begun += 1
        let number = begun
        Task { await run(number, planner) }
        return number
    }

    /// The progress of a purge that ``begin()`` began, or what became of it. Neither: nobody knows it, or a later one has ended since.
    package func look(at number: Int) -> (progress: PurgeProgress?, result: Result<PurgeReport, RetentionError>?) {
        if let ended, ended.number == number { return (nil, ended.result) }
        return (begun == number ? progress : nil, nil)
    }

    /// From here on a purge is under way.
    private func claim() throws(RetentionError) -> RetentionPlanner {
        guard progress == nil else { throw .running }
        told = false
        let planner = RetentionPlanner(now: clock.now())
        state.withLock { $0 = PurgeProgress(startedAt: planner.now) }
        return planner
    }

    /// - Parameter number: of a purge that ``begin()`` began.
    @discardableResult
    private func run(_ number: Int?, _ planner: RetentionPlanner) async -> Result<PurgeReport, RetentionError> {
        let result: Result<PurgeReport, RetentionError>
        do throws(RetentionError) { result = .success(try await carryOut(planner)) } catch { result = .failure(error) }
        switch result {
        case .success, .failure(.running), .failure(.stopped), .failure(.stopping): break
        case .failure: alerts?.raise(AlertEvent(.purgeFailed))
        }
        // Nobody can ask in between: it is under way, or has ended.
        state.withLock { $0 = nil }
        if let number { ended = (number, result) }
        return result
    }

    private func carryOut(_ planner: RetentionPlanner) async throws(RetentionError) -> PurgeReport {
        let start = monotonic.nanoseconds()
        let policies = try await policies()
        var extent = PurgeExtent(at: planner.now)
        var pace = PurgePace()
        var release = Release(try await look { try $0.space() })
        var from: ChatID? = ChatID(0)
        while let chat = from {
            note { $0.phase = .looking }
            let found = try await survey(planner, policies, from: chat, mayBeTold: true)
            from = found.next
            extent.chats += found.chats.count
            note { progress in
                progress.phase = .deleting
                progress.chats = extent.chats
            }
            let span = Double(found.last.rawValue &- found.first.rawValue) + 1
            try await walk(found, planner, rows: { pace.rows }, mayBeTold: true) { messages throws(RetentionError) in
                var ends: [ChatID: PurgeEnd] = [:]
                for message in messages {
                    ends[message.chat] = PurgeEnd(
                        chat: message.chat, seq: message.seq, mayBeUnread: message.id.rawValue > found.chats[message.chat]?.acknowledged ?? 0)
                }
                let pause = try await self.step(.purge(ends.values.sorted { $0.chat < $1.chat }), &pace)
                RetentionPlanner.count(messages, found.chats, planner, into: &extent.shares)
                let (messages, bytes, last) = (extent.messages, extent.bytes, messages.last?.id.rawValue ?? 0)
                self.note { progress in
                    progress.messages = messages
                    progress.bytes = bytes
                    progress.fraction = min(1, Double(last &- found.first.rawValue) / span)
                }
                try await self.wait(pause)
                try await self.give(&release)
            }
        }
        // Where others read all the time, the log is overwritten later: with the next checkpoint.
        if extent.messages > 0 { _ = await writer.emptyLog() }
        try await prove(extent, policies)
        // What an earlier purge left, when it was stopped.
        note { $0.phase = .releasing }
        try await give(&release)
        return PurgeReport(extent: extent, released: release.bytes, took: .nanoseconds(monotonic.nanoseconds() - start))
    }

    /// Ends the purge that is under way after its current step.
    /// - Returns: false when there is none.
    package func stop() -> Bool {
        told = progress != nil
        return told
    }

    /// What was given back to the file system, and how fast it goes.
    private struct Release {
        let isPossible: Bool
        let pageBytes: Int
        var bytes = 0
        var pace = PurgePace()

        init(_ space: (pages: Int, free: Int, pageBytes: Int, canRelease: Bool)) {
            isPossible = space.canRelease
            pageBytes = space.pageBytes
        }
    }

    /// Gives pages back until no more are free than are kept for new messages. Between the steps of a purge, not after it: while hundreds of thousands of
    /// pages are free, SQLite looks for a millisecond for the place of each page that it moves.
    private func give(_ release: inout Release) async throws(RetentionError) {
        guard release.isPossible else { return }
        while true {
            try checkTold()
            let began = monotonic.nanoseconds()
            guard case .released(let pages, let remaining, let took) = try await command(.releaseSpace(pages: release.pace.rows)) else { return }
            release.bytes += pages * release.pageBytes
            guard remaining else { return }
            try await wait(release.pace.pause(after: took, waiting: .nanoseconds(monotonic.nanoseconds() - began)))
        }
    }

    private func prove(_ extent: PurgeExtent, _ policies: [String: RetentionPolicy]) async throws(RetentionError) {
        let (last, oldest) = try await look { (try $0.lastPurge(), try $0.oldestMessage()) }
        let entry = PurgeEntry(
            at: extent.at, longestDays: Retention.longestDays(policies), policies: PurgeProof.fingerprint(policies),
            messagesAtLeast: PurgeEntry.atLeast(extent.messages), oldestDays: oldest.map { Retention.days(from: $0, to: extent.at) })
        _ = try await command(.recordPurge(PurgeProof.record(entry, after: last?.hash ?? PurgeProof.beginning)))
    }

    // MARK: Verify

    /// Recomputes the proof and holds the store against what the last purge promised.
    package func verify() async throws(RetentionError) -> RetentionVerdict {
        var verdict = RetentionVerdict()
        var last: PurgeEntry?
        var after: UInt64 = 0
        while true {
            let from = after
            let page = try await look { try $0.purges(after: from, limit: Limits.pageSizeCeiling) }
            for (stamp, record) in page {
                after = stamp.rawValue
                verdict.purges += 1
                if PurgeProof.hash(record.entry, after: verdict.hash) != record.hash {
                    verdict.findings.append(
                        "entry \(verdict.purges) of the proof does not follow from the one before: it was changed, or one is missing")
                }
                verdict.hash = record.hash
                guard let entry = PurgeEntry(record.entry) else {
                    verdict.findings.append("entry \(verdict.purges) of the proof cannot be read")
                    continue
                }
                if let last, entry.at < last.at { verdict.findings.append("entry \(verdict.purges) of the proof is older than the one before") }
                last = entry
            }
            if page.count < Limits.pageSizeCeiling { break }
        }
        guard let last else { return verdict }
        verdict.lastPurge = last.at
        if let days = last.longestDays, let oldest = try await look({ try $0.oldestMessage() }), Retention.days(from: oldest, to: last.at) > days {
            verdict.findings.append(
                "there is a message that was \(Retention.days(from: oldest, to: last.at)) days old at the last purge; the longest policy had \(days)")
        }
        // Policies that were changed since are for the next purge.
        let policies = try await policies()
        guard PurgeProof.fingerprint(policies) == last.policies else { return verdict }
        var chats = 0
        var from: ChatID? = ChatID(0)
        while let chat = from {
            let found = try await survey(RetentionPlanner(now: last.at), policies, from: chat, agesOnly: true)
            chats += found.chats.count
            from = found.next
        }
        if chats > 0 { verdict.findings.append("\(chats) chats have messages that were older than their policy at the last purge") }
        return verdict
    }

    /// When the last purge ended that was proven; nil: never.
    package func lastPurge() async throws(RetentionError) -> PurgeEntry? {
        try await look { try $0.lastPurge() }.flatMap { PurgeEntry($0.entry) }
    }

    package func space() async throws(RetentionError) -> (pages: Int, free: Int, pageBytes: Int, canRelease: Bool) {
        try await look { try $0.space() }
    }

    package func oldestMessage() async throws(RetentionError) -> MessageID? { try await look { try $0.oldestMessage() } }

    static func longestDays(_ policies: [String: RetentionPolicy]) -> Int? {
        var longest = 0
        for policy in policies.values {
            guard let days = policy.undeliveredDays else { return nil }
            longest = max(longest, days)
        }
        return longest
    }

    static func days(from message: MessageID, to now: Timestamp) -> Int {
        Int((now - Stamp(rawValue: message.rawValue).time).components.seconds / 86_400)
    }

    // MARK: Steps

    private func note(_ change: (inout PurgeProgress) -> Void) {
        state.withLock { state in
            guard var progress = state else { return }
            change(&progress)
            state = progress
        }
    }

    private func checkTold() throws(RetentionError) {
        if told || Task.isCancelled { throw .stopped }
    }

    /// Runs a command, and says how long to rest after it.
    private func step(_ command: Command, _ pace: inout PurgePace) async throws(RetentionError) -> Duration {
        let began = monotonic.nanoseconds()
        guard case .purged(_, _, let took) = try await self.command(command) else { return .zero }
        return pace.pause(after: took, waiting: .nanoseconds(monotonic.nanoseconds() - began))
    }

    private func wait(_ pause: Duration) async throws(RetentionError) {
        do { try await rest(pause) } catch { throw .stopped }
    }

    private func perform(_ command: Command, _ actor: Actor) async throws(RetentionError) { _ = try await self.command(command, actor) }

    private func command(_ command: Command, _ actor: Actor? = nil) async throws(RetentionError) -> Outcome {
        let outcome: Outcome
        do throws(WriterError) { outcome = try await writer.perform(command, actor: actor) } catch {
            throw switch error {
            case .overloaded: .overloaded
            case .stopping: .stopping
            case .storeFailed: .storeFailed
            }
        }
        if case .rejected(let rejection) = outcome {
            if case .userUnknown = rejection { throw .userUnknown }
            throw .classUnknown
        }
        return outcome
    }

    private func look<Result: Sendable>(_ body: @escaping @Sendable (Reader) throws -> Result) async throws(RetentionError) -> Result {
        do { return try await readers.read(body) } catch WriterError.stopping { throw .stopping } catch { throw .storeFailed }
    }
}

/// How much a step does and how long the purge rests after it.
struct PurgePace: Sendable, Equatable {
    private(set) var rows = Limits.purgeStepRows

    /// The next step does more or less, so that it takes as long as it should.
    /// - Parameters:
    ///   - took: the step, on the writer's thread.
    ///   - waiting: for it, until it was on the disk.
    mutating func pause(after took: Duration, waiting: Duration) -> Duration {
        if took > Limits.purgeStep {
            rows = max(Limits.purgeStepRowsFloor, rows / 2)
        } else if took < Limits.purgeStep / 2 {
            rows = min(Limits.purgeStepRowsCeiling, rows * 2)
        }
        return min(max(took * Limits.purgeRest, waiting * Limits.purgeRestOfWait), Limits.purgeRestCeiling)
    }
}

extension RetentionPlanner {
    static func count(
        _ messages: [HeldMessage], _ chats: [ChatID: Facts], _ planner: RetentionPlanner, into shares: inout [RetentionRule: RetentionShare]
    ) {
        for message in messages {
            guard let facts = chats[message.chat], let rule = planner.rule(for: message.id, facts) else { continue }
            shares[rule, default: RetentionShare()].messages += 1
            shares[rule, default: RetentionShare()].bytes += message.bytes
        }
    }
}
