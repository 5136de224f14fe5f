import Histogram
import NIOCore
import RelayClient
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf

/// How a load sends.
struct BenchPace: Sendable {
    /// What each sender may have under way.
    var window = 0
    /// As much as the windows allow; otherwise at a given rate.
    var saturates = false
    /// Messages of one sender that may be late; further ones are held back, which means never sent.
    var lateRoom = 0

    static let none = BenchPace()

    static func saturated(window: Int) -> BenchPace { BenchPace(window: window, saturates: true) }

    /// What is late is sent as soon as there is room, and its latency shows it.
    static let timed = BenchPace(window: 128, lateRoom: 4096)

    /// More than the relay takes: its window is wider than what relayd reads ahead of the disk, so that relayd has to defend itself.
    static let surge = BenchPace(window: 2 * Limits.sendsInFlight)
}

/// The devices of a run that share an event loop, with what they counted. Confined to that loop.
final class BenchLoop {
    /// What the devices of a loop counted.
    struct Tally: Sendable {
        var issued = 0
        var answered = 0
        var accepted = 0
        /// Copies that accepted messages ask for, and those that came.
        var expected = 0
        var delivered = 0
        /// Due, and never sent.
        var heldBack = 0
        var reconnects = 0
        /// How many changed keys devices were told, and when the last one: nanoseconds of the loops' clock.
        var keyChanges = 0
        var lastKeyChange: UInt64 = 0
        /// Who was told how everybody is, and of how many users devices were told since.
        var snapshots = 0
        var told = 0
        /// By the relay's code, and connections that it closed by close code.
        var refusals: [String: Int] = [:]
        /// Why a connection ended before the run did.
        var broken: String?

        /// Nothing is under way.
        var isQuiet: Bool { issued == answered && delivered >= expected }

        static func + (left: Tally, right: Tally) -> Tally {
            Tally(
                issued: left.issued + right.issued, answered: left.answered + right.answered, accepted: left.accepted + right.accepted,
                expected: left.expected + right.expected, delivered: left.delivered + right.delivered, heldBack: left.heldBack + right.heldBack,
                reconnects: left.reconnects + right.reconnects, keyChanges: left.keyChanges + right.keyChanges,
                lastKeyChange: max(left.lastKeyChange, right.lastKeyChange), snapshots: left.snapshots + right.snapshots,
                told: left.told + right.told, refusals: left.refusals.merging(right.refusals, uniquingKeysWith: +),
                broken: left.broken ?? right.broken)
        }
    }

    /// A loop is not woken more often than this, however high the rate: nanoseconds.
    static let tick: UInt64 = 200_000
    /// Microseconds.
    static let longestLatency: UInt64 = 600_000_000

    let loop: any EventLoop
    private let endpoint: Endpoint
    private(set) var pace = BenchPace.none
    var tally = Tally()
    private(set) var latency = BenchLoop.histogram()
    private(set) var recovery: RecoveryWatch?
    private(set) var copies: CopyWatch?
    /// Shared by all messages: stamped, then copied.
    private(set) var body = ByteBuffer()
    var scratch = ByteBuffer()
    private var devices: [BenchDevice] = []
    private var senders: [BenchDevice] = []
    private var nextSender = 0
    private var interval: UInt64 = 0
    private var nextDue: UInt64 = 0
    private var timer: Scheduled<Void>?
    /// How often the pace was changed.
    private var paces = 0
    private var ended = false
    private var nextBeat = 0
    private var connectsAgain = false

    init(loop: any EventLoop, endpoint: Endpoint) {
        self.loop = loop
        self.endpoint = endpoint
    }

    static func histogram() -> Histogram<UInt64> {
        Histogram(highestTrackableValue: longestLatency, numberOfSignificantValueDigits: .three)
    }

    /// Nanoseconds of the clock that all loops of this process share.
    func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    // MARK: Devices

    func add(_ seat: BenchSeat) -> BenchDevice {
        let device = BenchDevice(seat, home: self)
        devices.append(device)
        if seat.sends { senders.append(device) }
        return device
    }

    var senderCount: Int { senders.count }

    func device(_ id: DeviceID) -> BenchDevice? { devices.first { $0.seat.account.device == id } }

    func histories() -> [BenchHistory] { devices.map(\.history) }

    /// - Parameter connectsAgain: a connection that the relay closes is opened again, as clients do; otherwise it ends the run.
    func setUp(bodyBytes: Int, connectsAgain: Bool) {
        self.connectsAgain = connectsAgain
        var generator = SystemRandomNumberGenerator()
        body = ByteBuffer(bytes: (0..<bodyBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }

    func stamp(due: UInt64, number: UInt64) {
        body.setInteger(due, at: body.readerIndex)
        body.setInteger(number, at: body.readerIndex + 8)
    }

    // MARK: Pace

    /// Begins to send, or to send in another way.
    /// - Parameters:
    ///   - interval: nanoseconds between two messages of this loop; nil at saturation.
    ///   - delay: nanoseconds until the first one is due, so that the loops do not send together.
    func start(_ pace: BenchPace, interval: UInt64?, delay: UInt64) {
        cancelTimer()
        self.pace = pace
        guard !senders.isEmpty else { return }
        if let interval {
            self.interval = max(1, interval)
            nextDue = now() + delay
            pump()
        } else {
            for sender in senders {
                sender.refill()
                sender.flush()
            }
        }
    }

    /// Sends no more. What is late is given up.
    func stop() {
        cancelTimer()
        pace = .none
        for sender in senders { sender.dropLate() }
    }

    /// A timer that is due already runs all the same, so it carries the pace that it belongs to.
    private func cancelTimer() {
        timer?.cancel()
        timer = nil
        paces += 1
    }

    /// Sends what is due, and comes back for the next.
    private func pump() {
        let now = now()
        // Each sender at most once a turn of the loop, so that one flush follows each send only when the pace is slow anyway.
        var first = nextSender
        var touched = 0
        while nextDue <= now {
            senders[nextSender].send(due: nextDue)
            nextDue += interval
            nextSender = nextSender + 1 == senders.count ? 0 : nextSender + 1
            touched += 1
        }
        for _ in 0..<min(touched, senders.count) {
            senders[first].flush()
            first = first + 1 == senders.count ? 0 : first + 1
        }
        let next = NIODeadline.uptimeNanoseconds(max(nextDue, now + BenchLoop.tick))
        timer = loop.assumeIsolated().scheduleTask(deadline: next) { [paces] in
            if paces == self.paces { self.pump() }
        }
    }

    // MARK: Presence

    /// All devices take part in presence from now on and say so often that they are there, one after the other.
    func takePart(every interval: Duration) {
        var frame = Relay_V1_ClientFrame()
        frame.presence.mode = .watch
        guard let bytes: [UInt8] = try? frame.serializedBytes() else { return }
        let request = ByteBuffer(bytes: bytes)
        let home = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleRepeatedTask(initialDelay: .zero, delay: TimeAmount(interval / BenchLoop.beatSlices)) { task in
            if home.value.ended { task.cancel() } else { home.value.beat(request) }
        }
    }

    /// Turns in which all devices beat once.
    private static let beatSlices = 100

    private func beat(_ request: ByteBuffer) {
        for place in stride(from: nextBeat, to: devices.count, by: BenchLoop.beatSlices) { devices[place].beat(request) }
        nextBeat = (nextBeat + 1) % BenchLoop.beatSlices
    }

    // MARK: What came

    func delivered(_ envelope: BenchFrames.Envelope, to seat: BenchSeat, at now: UInt64) {
        tally.delivered += 1
        let microseconds = now > envelope.due ? (now - envelope.due) / 1000 : 0
        latency.record(min(microseconds, BenchLoop.longestLatency))
        recovery?.record(due: envelope.due, microseconds: microseconds)
        if let sender = copies?.arrived(envelope, at: now) { copies?.complete(sender, envelope.clientMessageID) }
    }

    /// A new measurement begins: latencies from here on.
    func resetLatency() { latency = BenchLoop.histogram() }

    func watchRecovery(_ watch: RecoveryWatch?) { recovery = watch }

    func watchCopies(_ watch: CopyWatch?) { copies = watch }

    /// Loops on which copies of this sender's messages arrive.
    func loopsWithCopies(_ seat: BenchSeat) -> Int { copies?.loops[seat.account.device.rawValue] ?? 0 }

    func broke(_ reason: String) {
        guard !ended else { return }
        tally.broken = tally.broken ?? reason
    }

    // MARK: Connections

    /// Opens a device's connection and waits until its stream is live.
    static func connect(_ device: NIOLoopBound<BenchDevice>, _ endpoint: Endpoint) async throws {
        let loop = device.eventLoop
        let (token, cursor) = try await loop.submit { (device.value.seat.account.token, device.value.history.newest) }.get()
        let caughtUp = loop.makePromise(of: Void.self)
        do {
            _ = try await WebSocketClient.connect(
                to: endpoint, path: cursor > 0 ? "/v1/connect?cursor=\(cursor)" : "/v1/connect", headers: [("Authorization", "Bearer \(token)")],
                subprotocols: ["relay.v1.proto"], maxMessageBytes: Limits.clientFrameBytes, on: loop
            ) { channel in
                device.value.attach(channel, caughtUp: caughtUp)
                return device.value
            }
        } catch {
            caughtUp.fail(error)
        }
        try await caughtUp.futureResult.get()
    }

    func closed(_ device: BenchDevice, _ code: UInt16?, _ reason: String) {
        guard !ended else { return }
        guard connectsAgain else { return broke("the relay closed a connection: \(code.map(String.init) ?? "no code") \(reason)") }
        tally.refusals["close_\(code.map(String.init) ?? "none")", default: 0] += 1
        connectAgain(NIOLoopBound(device, eventLoop: loop), Backoff(base: Limits.overloadedRetry))
    }

    /// Waits for a random while, as clients do, and opens the connection again, for as long as the run lasts.
    private func connectAgain(_ device: NIOLoopBound<BenchDevice>, _ backoff: Backoff) {
        var backoff = backoff
        var generator = SystemRandomNumberGenerator()
        let wait = backoff.next(using: &generator)
        let next = backoff
        let home = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: TimeAmount(wait)) {
            guard !home.value.ended else { return }
            home.value.tally.reconnects += 1
            let endpoint = home.value.endpoint
            Task {
                do {
                    try await BenchLoop.connect(device, endpoint)
                } catch {
                    // A connection that was refused was never open, so that nobody else tries again; one that broke later was.
                    guard error is WebSocketConnectError else { return }
                    device.eventLoop.execute { home.value.connectAgain(device, next) }
                }
            }
        }
    }

    func close() {
        ended = true
        stop()
        for device in devices { device.close() }
        devices = []
        senders = []
    }
}

/// When the latency is as before again. Confined to its loop, then merged.
struct RecoveryWatch: Sendable {
    /// Nanoseconds of one look.
    static let span: UInt64 = 250_000_000
    /// Looks that are kept: two minutes.
    static let most = 480

    /// When the surge ended.
    let start: UInt64
    /// Microseconds: beyond it a message is slow.
    let normal: UInt64
    private var messages = [Int](repeating: 0, count: RecoveryWatch.most)
    private var slow = [Int](repeating: 0, count: RecoveryWatch.most)

    init(start: UInt64, normal: UInt64) {
        self.start = start
        self.normal = normal
    }

    mutating func record(due: UInt64, microseconds: UInt64) {
        guard due >= start else { return }
        let look = Int((due - start) / RecoveryWatch.span)
        guard look < RecoveryWatch.most else { return }
        messages[look] += 1
        if microseconds > normal { slow[look] += 1 }
    }

    /// Seconds until the first of four looks in a row in which at most one message of a hundred was slow; nil while there is none.
    static func seconds(_ watches: [RecoveryWatch]) -> Double? {
        var good = 0
        for look in 0..<most {
            let all = watches.reduce(0) { $0 + $1.messages[look] }
            let late = watches.reduce(0) { $0 + $1.slow[look] }
            good = all > 0 && late * 100 <= all ? good + 1 : 0
            if good == 4 { return Double(look - 3) * Double(span) / 1e9 }
        }
        return nil
    }
}

/// When the copies of a group's messages arrive on one loop. Confined to it, then merged.
struct CopyWatch: Sendable {
    struct Arrival: Sendable {
        var due: UInt64 = 0
        var first: UInt64 = .max
        var last: UInt64 = 0
        var copies = 0
    }

    /// Messages of one sender that are watched; later ones are counted and not timed.
    static let most = 1_000_000

    /// By device of the sender: on how many loops copies arrive.
    let loops: [UInt64: Int]
    /// By device of the sender: how many copies arrive here.
    let here: [UInt64: Int]
    /// Tells the sender's loop that all copies of a message have arrived here.
    let complete: @Sendable (_ sender: UInt64, _ number: UInt64) -> Void
    private(set) var arrivals: [UInt64: [Arrival]] = [:]

    init(loops: [UInt64: Int], here: [UInt64: Int], complete: @escaping @Sendable (UInt64, UInt64) -> Void) {
        self.loops = loops
        self.here = here
        self.complete = complete
    }

    /// Gives the sender when this was the last copy on this loop.
    mutating func arrived(_ envelope: BenchFrames.Envelope, at now: UInt64) -> UInt64? {
        let (sender, number) = (envelope.senderDevice, Int(envelope.clientMessageID))
        guard number < CopyWatch.most else { return nil }
        var count = 0
        func note(_ list: inout [Arrival]) {
            if number >= list.count { list.append(contentsOf: repeatElement(Arrival(), count: number + 1 - list.count)) }
            list[number].due = envelope.due
            list[number].first = min(list[number].first, now)
            list[number].last = max(list[number].last, now)
            list[number].copies += 1
            count = list[number].copies
        }
        note(&arrivals[sender, default: []])
        return count == here[sender] ? sender : nil
    }

    /// Of each message whose copies all arrived: from the first to the last copy, and from when it was due to the last copy; microseconds.
    static func spread(_ watches: [CopyWatch]) -> (span: Histogram<UInt64>, last: Histogram<UInt64>) {
        var (span, last) = (BenchLoop.histogram(), BenchLoop.histogram())
        let senders = Set(watches.flatMap { $0.arrivals.keys })
        for sender in senders {
            let wanted = watches.reduce(0) { $0 + ($1.here[sender] ?? 0) }
            for number in 0..<(watches.map { $0.arrivals[sender]?.count ?? 0 }.max() ?? 0) {
                var whole = Arrival()
                for watch in watches {
                    guard let list = watch.arrivals[sender], number < list.count, list[number].copies > 0 else { continue }
                    whole.due = list[number].due
                    whole.first = min(whole.first, list[number].first)
                    whole.last = max(whole.last, list[number].last)
                    whole.copies += list[number].copies
                }
                guard whole.copies == wanted, whole.copies > 0 else { continue }
                span.record(min((whole.last - whole.first) / 1000, BenchLoop.longestLatency))
                last.record(min(whole.last > whole.due ? (whole.last - whole.due) / 1000 : 0, BenchLoop.longestLatency))
            }
        }
        return (span, last)
    }
}
