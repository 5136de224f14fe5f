import FoundationEssentials
import Histogram
import NIOCore
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf

/// Two devices, one sending to the other. Everything is confined to one event loop, which both connections share.
final class BenchPair {
    /// Unanswered sends at saturation.
    static let window = 8
    /// Unanswered sends at a given rate: beyond, the next ones leave late, which their latency shows.
    static let rateWindow = 128
    /// Time and number at the head of every body.
    static let stampBytes = 16
    /// How often a given rate is looked after.
    static let tick = TimeAmount.milliseconds(2)

    /// What one pair counted.
    struct Counts {
        var accepted = 0
        var delivered = 0
        var doubled = 0
        var refused = 0
        /// Microseconds.
        var latency = Histogram<UInt64>(highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: .three)
        /// Why a connection ended before the run did.
        var broken: String?
    }

    private(set) var counts = Counts()
    private let loop: any EventLoop
    private let chat: ChatID
    private let keys: [Relay_V1_MemberKeys]
    private var body: [UInt8]
    private var sender: WebSocketClientChannel?
    private var receiver: WebSocketClientChannel?
    private var nextNumber: UInt64 = 1
    private var lastDelivered: UInt64 = 0
    private var outstanding = 0
    private var running = false
    private var interval: UInt64?
    private var firstDue: UInt64 = 0
    private var issued: UInt64 = 0
    private var timer: Scheduled<Void>?
    private var whenQuiet: EventLoopPromise<Void>?
    private var ended = false

    /// - Parameter keys: the wrapped keys that every message carries.
    init(loop: any EventLoop, chat: ChatID, keys: [Relay_V1_MemberKeys], bodyBytes: Int) {
        self.loop = loop
        self.chat = chat
        self.keys = keys
        var generator = SystemRandomNumberGenerator()
        body = (0..<bodyBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// The delegate of one of the connections. `caughtUp` succeeds when its stream is live.
    func side(_ channel: WebSocketClientChannel, sends: Bool, caughtUp: EventLoopPromise<Void>) -> BenchSide {
        if sends { sender = channel } else { receiver = channel }
        return BenchSide(pair: self, channel: channel, sends: sends, caughtUp: caughtUp)
    }

    /// Begins to send.
    /// - Parameters:
    ///   - interval: nanoseconds between messages, nil for saturation.
    ///   - delay: nanoseconds until the first message is due, so that the pairs do not all send at once.
    func start(interval: UInt64?, delay: UInt64) {
        running = true
        self.interval = interval
        firstDue = NIODeadline.now().uptimeNanoseconds + delay
        if interval != nil {
            scheduleTick()
        } else {
            sendDue()
            sender?.flush()
        }
    }

    private func scheduleTick() {
        timer = loop.assumeIsolated().scheduleTask(in: BenchPair.tick) { [self] in
            guard running else { return }
            sendDue()
            sender?.flush()
            scheduleTick()
        }
    }

    /// Stops sending; the result comes when every accepted message has arrived.
    func finish() -> EventLoopFuture<Void> {
        running = false
        timer?.cancel()
        timer = nil
        let promise = loop.makePromise(of: Void.self)
        whenQuiet = promise
        checkQuiet()
        return promise.futureResult
    }

    func close() {
        ended = true
        whenQuiet?.succeed()
        whenQuiet = nil
        sender?.close(code: 1000)
        receiver?.close(code: 1000)
    }

    /// Sends what is due; the caller flushes.
    func sendDue() {
        guard running, let sender else { return }
        if let interval {
            let now = NIODeadline.now().uptimeNanoseconds
            while outstanding < BenchPair.rateWindow, firstDue + issued * interval <= now { send(on: sender, due: firstDue + issued * interval) }
        } else {
            while outstanding < BenchPair.window { send(on: sender, due: NIODeadline.now().uptimeNanoseconds) }
        }
    }

    private func send(on channel: WebSocketClientChannel, due: UInt64) {
        for index in 0..<8 {
            body[index] = UInt8(truncatingIfNeeded: due >> (8 * UInt64(7 - index)))
            body[8 + index] = UInt8(truncatingIfNeeded: nextNumber >> (8 * UInt64(7 - index)))
        }
        var frame = Relay_V1_ClientFrame()
        frame.requestID = nextNumber
        frame.send = .with {
            $0.chatID = chat.rawValue
            $0.clientMessageID = nextNumber
            $0.body = Data(body)
            $0.keys = keys
        }
        nextNumber += 1
        issued += 1
        outstanding += 1
        write(frame, on: channel)
    }

    private func write(_ frame: Relay_V1_ClientFrame, on channel: WebSocketClientChannel) {
        do {
            let bytes: [UInt8] = try frame.serializedBytes()
            channel.send(.binary(ByteBuffer(bytes: bytes)))
        } catch {
            counts.broken = "a frame cannot be encoded: \(error)"
        }
    }

    fileprivate func acknowledge(_ mailboxSeq: UInt64, on channel: WebSocketClientChannel) {
        var frame = Relay_V1_ClientFrame()
        frame.ack = .with { $0.mailboxSeq = mailboxSeq }
        write(frame, on: channel)
    }

    fileprivate func accepted() {
        outstanding -= 1
        counts.accepted += 1
    }

    fileprivate func refused() {
        outstanding -= 1
        counts.refused += 1
    }

    fileprivate func delivered(_ body: Data) {
        guard body.count >= BenchPair.stampBytes else { return }
        func number(_ bytes: Data) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        let due = number(body.prefix(8))
        let message = number(body.dropFirst(8).prefix(8))
        guard message > lastDelivered else {
            counts.doubled += 1
            return
        }
        lastDelivered = message
        counts.delivered += 1
        let now = NIODeadline.now().uptimeNanoseconds
        counts.latency.record(min(now > due ? (now - due) / 1000 : 0, 60_000_000))
    }

    fileprivate func checkQuiet() {
        guard let whenQuiet, outstanding == 0, counts.delivered >= counts.accepted else { return }
        self.whenQuiet = nil
        whenQuiet.succeed()
    }

    fileprivate func closed(_ code: UInt16?, _ reason: String) {
        guard !ended else { return }
        counts.broken = "the relay closed a connection: \(code.map(String.init) ?? "no code") \(reason)"
        running = false
        whenQuiet?.succeed()
        whenQuiet = nil
    }
}

/// One of a pair's connections.
final class BenchSide: WebSocketDelegate {
    private let pair: BenchPair
    private let channel: WebSocketClientChannel
    private let sends: Bool
    private var caughtUp: EventLoopPromise<Void>?
    private var newest: UInt64 = 0
    private var acknowledged: UInt64 = 0

    fileprivate init(pair: BenchPair, channel: WebSocketClientChannel, sends: Bool, caughtUp: EventLoopPromise<Void>) {
        self.pair = pair
        self.channel = channel
        self.sends = sends
        self.caughtUp = caughtUp
    }

    func received(_ message: WebSocketMessage) {
        guard case .binary(let bytes) = message, let frame = try? Relay_V1_ServerFrame(serializedBytes: Array(bytes.readableBytesView)) else {
            return channel.close(code: 1007)
        }
        switch frame.kind {
        case .sent: pair.accepted()
        case .error: pair.refused()
        case .deliver(let deliver):
            for envelope in deliver.envelopes {
                newest = max(newest, envelope.mailboxSeq)
                if !sends { pair.delivered(envelope.body) }
            }
        case .caughtUp:
            caughtUp?.succeed()
            caughtUp = nil
        default: break
        }
    }

    func readComplete() {
        if newest > acknowledged {
            acknowledged = newest
            pair.acknowledge(newest, on: channel)
        }
        if sends { pair.sendDue() }
        channel.flush()
        pair.checkQuiet()
    }

    func closed(code: UInt16?, reason: String) {
        caughtUp?.fail(ChannelError.eof)
        caughtUp = nil
        pair.closed(code, reason)
    }
}
