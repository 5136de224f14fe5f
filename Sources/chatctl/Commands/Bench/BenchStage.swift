import Glibc
import Histogram
import NIOCore
import NIOPosix
import RelayControl
import RelayHTTP
import RelayModel

/// The devices of a run over all event loops. Any thread.
struct BenchStage: Sendable {
    /// How long accepted messages may take to arrive after the last one was sent.
    static let drain = Duration.seconds(30)
    /// How often the end of a load is looked for.
    private static let look = Duration.milliseconds(5)
    /// Connections that are opened at the same time.
    private static let opening = 64

    let endpoint: Endpoint
    let loops: [NIOLoopBoundBox<BenchLoop>]

    /// - Parameter connectsAgain: a connection that the relay closes is opened again; otherwise it ends the run.
    init(endpoint: Endpoint, bodyBytes: Int, connectsAgain: Bool = false) async throws {
        self.endpoint = endpoint
        var loops: [NIOLoopBoundBox<BenchLoop>] = []
        for loop in MultiThreadedEventLoopGroup.singleton.makeIterator() {
            loops.append(.makeBoxSendingValue(BenchLoop(loop: loop, endpoint: endpoint), eventLoop: loop))
        }
        self.loops = loops
        try await onEach { $0.setUp(bodyBytes: bodyBytes, connectsAgain: connectsAgain) }
    }

    /// Runs on each loop in turn; the results in the loops' order.
    @discardableResult func onEach<Result: Sendable>(_ body: @escaping @Sendable (BenchLoop) throws -> Result) async throws -> [Result] {
        let futures = loops.map { box in box.eventLoop.submit { try body(box.value) } }
        var results: [Result] = []
        for future in futures { results.append(try await future.get()) }
        return results
    }

    func on<Result: Sendable>(_ loop: Int, _ body: @escaping @Sendable (BenchLoop) throws -> Result) async throws -> Result {
        let box = loops[loop % loops.count]
        return try await box.eventLoop.submit { try body(box.value) }.get()
    }

    /// Connects a device for each seat and waits until all are live. `loop` says where each goes.
    func connect(_ seats: [BenchSeat], loop: @escaping @Sendable (Int) -> Int) async throws {
        let turns = BenchTurns(seats.count)
        defer { Talk.endProgress() }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<min(BenchStage.opening, seats.count) {
                    group.addTask {
                        while !Task.isCancelled, let number = turns.take() {
                            if number % 500 == 0 { Talk.progress("connecting: \(Figures.count(number)) of \(Figures.count(seats.count))") }
                            let box = loops[loop(number) % loops.count]
                            let seat = seats[number]
                            let device = try await box.eventLoop.submit { NIOLoopBound(box.value.add(seat), eventLoop: box.eventLoop) }.get()
                            try await BenchLoop.connect(device, endpoint)
                        }
                    }
                }
                try await group.waitForAll()
            }
        } catch {
            throw ControlError(.failed, "a device cannot connect: \(error)", hint: "chatctl status shows where the relay listens")
        }
    }

    /// Begins to send, or to send in another way.
    /// - Parameter rate: messages per second over all senders; nil at saturation.
    func start(_ pace: BenchPace, rate: Double? = nil) async throws {
        let senders = try await onEach { $0.senderCount }
        let all = max(1, senders.reduce(0, +))
        var before = 0
        for (index, box) in loops.enumerated() {
            guard senders[index] > 0 else { continue }
            let interval = rate.map { UInt64(1e9 * Double(all) / (max($0, 0.001) * Double(senders[index]))) }
            let delay = UInt64(Double(interval ?? 0) * Double(before) / Double(all))
            before += senders[index]
            try await box.eventLoop.submit { box.value.start(pace, interval: interval, delay: delay) }.get()
        }
    }

    func stop() async throws { try await onEach { $0.stop() } }

    func tally() async throws -> BenchLoop.Tally { try await onEach { $0.tally }.reduce(BenchLoop.Tally(), +) }

    /// Looks until `done` holds or the time is over; gives the last look. A broken connection ends the run at once.
    @discardableResult
    func wait(_ time: Duration = BenchStage.drain, until done: (BenchLoop.Tally) -> Bool) async throws -> BenchLoop.Tally {
        let end = ContinuousClock.now + time
        while true {
            let tally = try await tally()
            if let broken = tally.broken { throw ControlError(.failed, broken, hint: "journalctl -u relayd says how it was") }
            if done(tally) || ContinuousClock.now > end { return tally }
            try await Task.sleep(for: BenchStage.look)
        }
    }

    /// Lets the load run for a while.
    func run(_ seconds: Int, _ doing: String) async throws {
        for second in 0..<seconds {
            Talk.progress("\(doing): \(seconds - second) s")
            try await wait(.seconds(1)) { _ in false }
        }
        Talk.endProgress()
    }

    /// Latencies since the last reset.
    func latency() async throws -> Histogram<UInt64> {
        var all = BenchLoop.histogram()
        for one in try await onEach({ $0.latency }) { all.add(one) }
        return all
    }

    func resetLatency() async throws { try await onEach { $0.resetLatency() } }

    func verdict() async throws -> BenchVerdict { BenchVerdict.judge(try await onEach { $0.histories() }.flatMap { $0 }) }

    /// Ends all connections. The stage is of no use afterwards.
    func close() async throws { try await onEach { $0.close() } }
}

/// What both sides had used at one moment.
struct BenchSnapshot: Sendable {
    var relay: Status.Reply
    /// Of this process.
    var ownMicroseconds: Int
    var at: ContinuousClock.Instant

    static func take(_ control: ControlClient) async throws(ControlError) -> BenchSnapshot {
        let relay = try await control.call(Status())
        var usage = rusage()
        let known = getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0
        return BenchSnapshot(
            relay: relay,
            ownMicroseconds: known
                ? (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000 + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) : 0,
            at: .now)
    }
}

/// The limit of open files, which bounds how many connections a process can have.
enum BenchDescriptors {
    /// Files that are open besides the connections of a load.
    private static let others = 128

    /// Raises the soft limit and says when even the hard one is too low.
    static func require(connections: Int) throws(ControlError) {
        var limit = rlimit()
        let wanted = UInt(connections + others)
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        if limit.rlim_cur < wanted {
            limit.rlim_cur = min(wanted, limit.rlim_max)
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        guard limit.rlim_cur >= wanted else {
            throw ControlError(
                .limitReached, "\(connections) connections are not possible: this process may open \(limit.rlim_max) files (ulimit -Hn)",
                hint: "ask for at most \(max(0, Int(clamping: limit.rlim_max) - others)), or raise the hard limit")
        }
    }
}
