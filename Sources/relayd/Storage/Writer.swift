import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import RelayMetrics
import RelayModel
import Synchronization

/// Why the writer did not apply a command.
package enum WriterError: Error, Sendable {
    /// Its inbox is full: try again in a moment.
    case overloaded
    /// It was told to stop.
    case stopping
    /// The store failed before; nothing is accepted any more.
    case storeFailed
}

/// Where the answer to a command of a connection belongs: numbers only, so that the writer knows nothing of connections.
package struct Origin: Sendable {
    package var loop: Int
    package var connection: UInt64
    /// The client's number.
    package var request: UInt64
    package init(loop: Int, connection: UInt64, request: UInt64) {
        self.loop = loop
        self.connection = connection
        self.request = request
    }
}

/// A command that was committed, with what became of it.
package struct Committed: Sendable {
    /// Nil when no connection waits for an answer.
    package var origin: Origin?
    package var command: Command
    package var outcome: Outcome
}

/// Gets the results of connections' commands, a batch at a time. Called on the writer's thread: hand over and return.
package protocol CommitReceiver: AnyObject, Sendable {
    /// How long its commands may wait for others to share a commit with; zero commits at once. Asked before each commit.
    var patience: Duration { get }
    /// - Parameter since: when the first of them came, or an earlier one of the batch, in nanoseconds of the metrics' clock.
    func committed(_ batch: [Committed], since: Int64)
    /// The store failed: commands were not applied, and none will be.
    func failed()
}

/// Sees every batch, on the writer's thread, after the flush and before anybody is answered: note what is to be known and return.
package protocol CommitObserver: Sendable {
    /// - Parameter outcomes: of the commands, in their order.
    func committed(_ commands: [StampedCommand], _ outcomes: [Outcome])
}

/// Who wants to know a command's outcome. Everybody is called on the writer's thread, after the flush.
package struct Reply: Sendable {
    fileprivate var call: (@Sendable (Result<Outcome, WriterError>) -> Void)?
    fileprivate var receiver: (any CommitReceiver)?
    fileprivate var origin: Origin?

    /// Beside the connections somebody waits.
    fileprivate var isAwaited: Bool { call != nil }

    /// Only the caller.
    package static func call(_ call: @escaping @Sendable (Result<Outcome, WriterError>) -> Void) -> Reply { Reply(call: call) }

    /// The receiver, with the rest of its batch.
    package static func batch(_ receiver: any CommitReceiver, _ origin: Origin?) -> Reply { Reply(receiver: receiver, origin: origin) }
}

/// The one writer: takes everything that arrived while the last commit ran, stamps it, and commits it in one transaction.
///
/// The inbox can be filled from any thread; the engine is touched on the writer's own thread only. Under load the queue is the batch;
/// without load a command waits as long as its receiver has patience.
package final class Writer: Sendable {
    package struct Statistics: Sendable {
        package var queued: Int
        package var commands: Int
        package var commits: Int
    }

    private struct Entry {
        var command: Command
        var actor: Actor?
        var reply: Reply
        var bytes: Int
    }

    private struct State {
        var inbox: [Entry] = []
        /// Entries that were accepted and not yet answered, and their bytes.
        var waiting = 0
        var waitingBytes = 0
        /// Something in the inbox does not ride, and something has a caller who waits for it.
        var wanted = false
        var hurried = false
        /// When the first that does not ride came; one look at the clock for each batch.
        var wantedSince: Int64 = 0
        var running = false
        /// The thread waits for more before it commits.
        var gathering = false
        var stopping = false
        var failed = false
        var commands = 0
        var commits = 0
        var whenIdle: [@Sendable () -> Void] = []
        /// Those who asked for a sign of life.
        var whenMoved: [@Sendable () -> Void] = []

        mutating func takeWhenMoved() -> [@Sendable () -> Void] {
            if whenMoved.isEmpty { return [] }
            defer { whenMoved = [] }
            return whenMoved
        }

        /// Puts an entry into the inbox and says what the thread must be told of it.
        mutating func append(_ entry: Entry, riding: Bool, _ clock: any MonotonicClock) -> Wake {
            inbox.append(entry)
            waiting += 1
            waitingBytes += entry.bytes
            if riding { return .no }
            if !wanted {
                wanted = true
                wantedSince = clock.nanoseconds()
            }
            if entry.reply.isAwaited { hurried = true }
            return wake()
        }

        mutating func wake() -> Wake {
            if !running {
                running = true
                return .begin
            }
            guard gathering, isEnough else { return .no }
            gathering = false
            return .goOn
        }

        /// Nothing in the inbox may wait for more.
        var isEnough: Bool { stopping || hurried || inbox.count >= Limits.writerGathered }
    }

    private enum Wake { case no, begin, goOn }

    private let state = Mutex(State())
    /// Ends the thread's wait for more.
    private let enough = ConditionLock(value: false)
    private let thread: NIOThreadPool
    private let engine: any Engine
    private let clock: any WallClock
    private let record: CommandRecord?
    private let observer: (any CommitObserver)?
    private let stamps: Mutex<StampSource>
    private let metrics: Metrics
    private let afterCommit: @Sendable () throws -> Void
    private let emptyingLog: @Sendable () async -> Bool
    private let forgetPages: Confined<() throws -> Void>
    private let onFailure: @Sendable (any Error) -> Void
    /// Every command is written into a file beside the store, too.
    package var isRecording: Bool { record != nil }

    /// - Parameters:
    ///   - record: where every stamped command is written as well, for replays.
    ///   - observer: sees every batch.
    ///   - afterCommit: called on the writer's thread after each flush.
    ///   - emptyLog: see ``emptyLog()``.
    ///   - forgetPages: called on the writer's thread: the store's pages in memory are read anew from the disk.
    ///   - onFailure: called once, when a commit failed; the process must end.
    init(
        engine: any Engine, clock: any WallClock, record: CommandRecord?, metrics: Metrics, observer: (any CommitObserver)? = nil,
        afterCommit: @escaping @Sendable () throws -> Void,
        emptyLog: @escaping @Sendable () async -> Bool, forgetPages: @escaping () throws -> Void, onFailure: @escaping @Sendable (any Error) -> Void
    ) {
        self.engine = engine
        self.clock = clock
        self.record = record
        self.metrics = metrics
        self.observer = observer
        self.afterCommit = afterCommit
        emptyingLog = emptyLog
        self.forgetPages = Confined(forgetPages)
        self.onFailure = onFailure
        stamps = Mutex(StampSource(after: engine.lastStamp))
        thread = NIOThreadPool(numberOfThreads: 1)
        thread.start()
    }

    /// Any thread.
    package var statistics: Statistics {
        state.withLock { Statistics(queued: $0.waiting, commands: $0.commands, commits: $0.commits) }
    }

    /// A commit failed: what is on the disk is not known. Any thread.
    package var hasFailed: Bool { state.withLock { $0.failed } }

    /// Everything that was stamped until now is at or below, and everything that will be stamped is above, unless the clock steps back: then
    /// it is the last stamp. Any thread.
    package var horizon: Stamp {
        let now = clock.now()
        return stamps.withLock { max($0.latest, Stamp(time: now)) }
    }

    /// Calls back on the writer's thread when it has finished what it is at, or soon when it is idle. Any thread.
    package func whenMoved(_ call: @escaping @Sendable () -> Void) {
        let idle = state.withLock { state in
            if state.running { state.whenMoved.append(call) }
            return !state.running
        }
        if idle { thread.submit { _ in call() } }
    }

    /// Queues a command. Any thread; never blocks on the disk.
    /// - Parameter riding: it is committed with the next command that does not ride, and causes no commit of its own.
    /// - Returns: whether so much waits that whoever can should hold back.
    @discardableResult
    package func submit(_ command: Command, actor: Actor? = nil, reply: Reply, riding: Bool = false) throws(WriterError) -> Bool {
        let bytes = Writer.bytes(of: command)
        let queued: Result<(wake: Wake, crowded: Bool), WriterError> = state.withLock { state in
            if state.failed { return .failure(.storeFailed) }
            if state.stopping { return .failure(.stopping) }
            guard state.waiting < Limits.writerInbox, state.waitingBytes + bytes <= Limits.writerInboxBytes else { return .failure(.overloaded) }
            let wake = state.append(Entry(command: command, actor: actor, reply: reply, bytes: bytes), riding: riding, metrics.clock)
            let crowded = state.waiting > Limits.writerCrowd || state.waitingBytes > Limits.writerCrowdBytes
            return .success((wake: wake, crowded: crowded))
        }
        let (wake, crowded) = try queued.get()
        // Outside of the lock, which the thread takes first of all.
        self.wake(wake)
        return crowded
    }

    private func wake(_ wake: Wake) {
        switch wake {
        case .no: break
        case .begin: thread.submit { _ in self.drain() }
        case .goOn:
            enough.lock()
            enough.unlock(withValue: true)
        }
    }

    /// Queues a command and waits for its outcome. `receiver` gets it too, as nobody's answer.
    /// - Parameter noting: gets the outcome first of all, on the writer's thread and in the order of the commits, so that what is kept in memory follows the
    ///   disk. It notes, and returns.
    package func perform(
        _ command: Command, actor: Actor? = nil, for receiver: (any CommitReceiver)? = nil, noting: (@Sendable (Outcome) -> Void)? = nil
    ) async throws(WriterError) -> Outcome {
        let result: Result<Outcome, WriterError> = await withCheckedContinuation { continuation in
            let call: @Sendable (Result<Outcome, WriterError>) -> Void = { result in
                if let noting, case .success(let outcome) = result { noting(outcome) }
                continuation.resume(returning: result)
            }
            let reply = Reply(call: call, receiver: receiver)
            do throws(WriterError) { try submit(command, actor: actor, reply: reply) } catch { continuation.resume(returning: .failure(error)) }
        }
        return try result.get()
    }

    /// Leaves nothing in the write-ahead log of what was deleted before. Tries for ``Limits/logEmptyings`` times, and then says false: others were reading
    /// all the time. Any thread.
    package func emptyLog() async -> Bool {
        for number in 1...Limits.logEmptyings {
            if hasFailed { return false }
            if await emptyingLog() {
                // What pages do not use is cleared on the way to the disk, not in memory, from where it would come into the log again.
                await onThread { try self.forgetPages.value() }
                return true
            }
            if number < Limits.logEmptyings { try? await Task.sleep(for: Limits.logEmptyingPause) }
        }
        return false
    }

    /// Between two batches. Does nothing when the thread has ended.
    private func onThread(_ body: @escaping @Sendable () throws -> Void) async {
        await withCheckedContinuation { continuation in
            thread.submit { state in
                if case .active = state { do { try body() } catch { self.onFailure(error) } }
                continuation.resume()
            }
        }
    }

    /// Refuses new commands, commits what is in the inbox, and ends the thread.
    package func stop() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            // Also when it is idle: something may wait for a ride.
            wake(
                state.withLock { state in
                    state.stopping = true
                    state.whenIdle.append { continuation.resume() }
                    return state.wake()
                })
        }
        try? await thread.shutdownGracefully()  // Fails only when it was shut down before, which is what is wanted.
    }

    private static func bytes(of command: Command) -> Int {
        switch command {
        case .send(let send): bytes(of: send.body, send.keys)
        case .changeGroup(let change): bytes(of: change.body, change.keys) + change.users.count * 64
        case .setKeys(let keys): 512 + keys.oneTimePrekeys.count * 96
        case .delete(let delete): 64 + delete.seqs.count * 64
        case .acknowledge(let entries): entries.count * 64
        case .countPeople(let counts): 64 + (counts.counts.count + counts.forgotten.count) * 128
        default: 64
        }
    }

    /// A member's keys cost the batch more than their bytes: the room around them, and the copies that go out afterwards.
    private static func bytes(of body: ByteBuffer, _ keys: [MemberKeys]) -> Int {
        keys.reduce(body.readableBytes + 64) { $0 + $1.keys.bytes.readableBytes + 64 }
    }

    // MARK: On the writer's thread

    private func drain() {
        while true {
            gather()
            let (entries, since, idle) = state.withLock { state -> ([Entry], Int64, [@Sendable () -> Void]) in
                guard state.wanted || (state.stopping && !state.inbox.isEmpty) else {
                    state.running = false
                    let idle = state.whenIdle + state.takeWhenMoved()
                    state.whenIdle = []
                    return ([], 0, idle)
                }
                let entries = state.inbox
                // At the end only what rides may be left, which has waited for nobody.
                let since = state.wanted ? state.wantedSince : metrics.clock.nanoseconds()
                state.inbox = []
                state.wanted = false
                state.hurried = false
                return (entries, since, [])
            }
            if entries.isEmpty {
                for call in idle { call() }
                return
            }
            var rest = entries[...]
            while !rest.isEmpty {
                let batch = Writer.batch(of: rest)
                commit(batch, since: since)
                rest = rest.dropFirst(batch.count)
                let bytes = batch.reduce(0) { $0 + $1.bytes }
                let moved = state.withLock { state in
                    state.waiting -= batch.count
                    state.waitingBytes -= bytes
                    return state.takeWhenMoved()
                }
                for call in moved { call() }
            }
        }
    }

    /// Waits for more as long as the receiver of what is there has patience.
    private func gather() {
        let receiver = state.withLock { $0.wanted && !$0.isEnough ? $0.inbox.first?.reply.receiver : nil }
        guard let patience = receiver?.patience, patience > .zero else { return }
        let waits = state.withLock { state in
            state.gathering = !state.isEnough
            return state.gathering
        }
        guard waits else { return }
        if enough.lock(whenValue: true, timeoutSeconds: patience / .seconds(1)) { enough.unlock(withValue: false) }
        state.withLock { $0.gathering = false }
    }

    /// As much of the beginning as one transaction may hold, at least one entry.
    private static func batch(of entries: ArraySlice<Entry>) -> ArraySlice<Entry> {
        var count = 0
        var bytes = 0
        for entry in entries.prefix(Limits.writerBatch) where count == 0 || bytes < Limits.writerBatchBytes {
            bytes += entry.bytes
            count += 1
        }
        return entries.prefix(count)
    }

    private func commit(_ batch: ArraySlice<Entry>, since: Int64) {
        if state.withLock({ $0.failed }) { return refuse(batch) }
        let now = clock.now()
        let commands = stamps.withLock { stamps in
            batch.map { StampedCommand(stamp: stamps.next(at: now, count: $0.command.stamps), command: $0.command, actor: $0.actor) }
        }
        let began = metrics.clock.nanoseconds()
        do {
            let outcomes = try engine.apply(commands)
            metrics.queueSeconds.record(nanoseconds: began - since)
            metrics.commitSeconds.record(nanoseconds: metrics.clock.nanoseconds() - began)
            metrics.commitCommands.record(batch.count)
            try record?.append(commands)
            state.withLock { state in
                state.commands += batch.count
                state.commits += 1
            }
            observer?.committed(commands, outcomes)
            answer(batch, outcomes, since: since)
        } catch {
            // Whether the rows reached the disk is unknown, and a later flush may lie: never report success again.
            state.withLock { $0.failed = true }
            refuse(batch)
            onFailure(error)
            return
        }
        do {
            try afterCommit()
        } catch {
            state.withLock { $0.failed = true }
            onFailure(error)
        }
    }

    private func answer(_ batch: ArraySlice<Entry>, _ outcomes: [Outcome], since: Int64) {
        var receiver: (any CommitReceiver)?
        var committed: [Committed] = []
        for (entry, outcome) in zip(batch, outcomes) {
            entry.reply.call?(.success(outcome))
            guard let next = entry.reply.receiver else { continue }
            if let current = receiver, current !== next {
                current.committed(committed, since: since)
                committed = []
            }
            receiver = next
            committed.append(Committed(origin: entry.reply.origin, command: entry.command, outcome: outcome))
        }
        receiver?.committed(committed, since: since)
    }

    private func refuse(_ batch: ArraySlice<Entry>) {
        for entry in batch {
            entry.reply.call?(.failure(.storeFailed))
            entry.reply.receiver?.failed()
        }
    }
}
