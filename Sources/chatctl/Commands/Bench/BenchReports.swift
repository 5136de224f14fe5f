import Histogram
import RelayControl
import RelayModel

// What the loads print: the replies of `--json`, whose keys are stable, and the same for people.

/// Times in microseconds.
struct BenchLatency: Codable, Sendable, Equatable {
    struct Bucket: Codable, Sendable, Equatable {
        /// A power of two; the bucket begins behind the one before.
        var upToMicroseconds: Int
        var count: Int
    }
    var count: Int
    var p50Microseconds: Int
    var p90Microseconds: Int
    var p99Microseconds: Int
    var p999Microseconds: Int
    var maxMicroseconds: Int
    var histogram: [Bucket]

    init(_ histogram: Histogram<UInt64>) {
        count = Int(histogram.totalCount)
        p50Microseconds = Int(histogram.valueAtPercentile(50))
        p90Microseconds = Int(histogram.valueAtPercentile(90))
        p99Microseconds = Int(histogram.valueAtPercentile(99))
        p999Microseconds = Int(histogram.valueAtPercentile(99.9))
        maxMicroseconds = count == 0 ? 0 : Int(histogram.max)
        var counts: [Int: Int] = [:]
        for step in histogram.recordedValues() {
            let width = max(step.value, 1) - 1
            counts[1 << (UInt64.bitWidth - width.leadingZeroBitCount), default: 0] += Int(step.count)
        }
        self.histogram = counts.sorted { $0.key < $1.key }.map { Bucket(upToMicroseconds: $0.key, count: $0.value) }
    }
}

/// What a load cost, from its first message to the arrival of its last.
struct BenchCost: Codable, Sendable, Equatable {
    /// Delivered messages or copies; where nothing is delivered, stored ones.
    var messages: Int
    var seconds: Double
    var messagesPerSecond: Double
    /// Of relayd, all its threads together.
    var cpuMicrosecondsPerMessage: Double
    /// Of relayd: CPU seconds a second.
    var cores: Double
    var commandsPerCommit: Double
    /// Of relayd, at the end.
    var residentBytes: Int
    /// Of chatctl itself, which shares the machine with what it measures.
    var generatorMicrosecondsPerMessage: Double
    var generatorCores: Double

    init(_ before: BenchSnapshot, _ after: BenchSnapshot, messages: Int) {
        let span = after.at - before.at
        let spent = max(1e-6, Double(span.components.seconds) + Double(span.components.attoseconds) / 1e18)
        let relay = Double(after.relay.cpuMicroseconds - before.relay.cpuMicroseconds)
        let own = Double(after.ownMicroseconds - before.ownMicroseconds)
        let each = Double(max(1, messages))
        self.messages = messages
        seconds = BenchCost.rounded(spent, 3)
        messagesPerSecond = BenchCost.rounded(Double(messages) / spent, 1)
        cpuMicrosecondsPerMessage = BenchCost.rounded(relay / each, 2)
        cores = BenchCost.rounded(relay / spent / 1e6, 4)
        commandsPerCommit = BenchCost.rounded(
            Double(after.relay.commandsApplied - before.relay.commandsApplied) / Double(max(1, after.relay.commits - before.relay.commits)), 2)
        residentBytes = after.relay.residentBytes
        generatorMicrosecondsPerMessage = BenchCost.rounded(own / each, 2)
        generatorCores = BenchCost.rounded(own / spent / 1e6, 4)
    }

    private static func rounded(_ value: Double, _ digits: Int) -> Double {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        return (value * scale).rounded() / scale
    }
}

/// What the senders met besides `sent`.
struct BenchRefusals: Codable, Sendable, Equatable {
    var refused: Int
    /// By the relay's code; `close_` and a number for connections that it closed.
    var byCode: [String: Int]
    /// Due, and not sent because too much was under way already.
    var heldBack: Int
    /// Sent, and not answered when the run ended.
    var unanswered: Int
    var reconnects: Int

    init(_ tally: BenchLoop.Tally) {
        refused = tally.refusals.reduce(0) { $0 + ($1.key.hasPrefix("close_") ? 0 : $1.value) }
        byCode = tally.refusals
        heldBack = tally.heldBack
        unanswered = tally.issued - tally.answered
        reconnects = tally.reconnects
    }
}

/// A report of any load: it can be shown, and it says whether the relay kept its promises.
protocol BenchReport: Codable, Sendable {
    var verdict: BenchVerdict { get }
    func show(on page: inout Page)
}

struct PairsReport: BenchReport {
    var load = "pairs"
    var pairs: Int
    var bodyBytes: Int
    /// Messages per second that were asked for; absent at saturation.
    var rate: Int?
    var cost: BenchCost
    var latency: BenchLatency
    var refusals: BenchRefusals
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        page.pairs(
            [
                ("pairs", Cell(Figures.count(pairs))),
                ("body", Cell(Figures.bytes(bodyBytes))),
                ("load", Cell(rate.map { "\(Figures.count($0)) messages/s" } ?? "\(PairsLoad.window) outstanding per pair")),
            ] + cost.rows("a delivered message") + latency.rows("latency") + refusals.rows + verdict.rows)
        latency.draw(on: &page)
    }
}

struct FanOutReport: BenchReport {
    var load = "fanout"
    var members: Int
    /// Of each member.
    var devices: Int
    var senders: Int
    var bodyBytes: Int
    var rate: Int?
    /// Messages that each sender had under way; absent with a rate.
    var window: Int?
    /// Per delivered copy.
    var cost: BenchCost
    /// Of each copy.
    var latency: BenchLatency
    /// Of each message: from its first copy to its last.
    var firstToLast: BenchLatency
    /// Of each message: from when it was due to its last copy.
    var dueToLast: BenchLatency
    var refusals: BenchRefusals
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        page.pairs(
            [
                ("members", Cell(Figures.count(members))),
                ("devices", Cell("\(Figures.count(devices)) each")),
                ("senders", Cell(Figures.count(senders))),
                ("body", Cell(Figures.bytes(bodyBytes))),
                (
                    "load",
                    Cell(rate.map { "\(Figures.count($0)) messages/s" } ?? "\(Figures.number(window ?? 0, "message")) of each sender under way")
                ),
                ("messages", Cell(Figures.count(verdict.accepted))),
            ] + cost.rows("a delivered copy") + latency.rows("a copy") + firstToLast.rows("first to last") + dueToLast.rows("due to last")
                + refusals.rows + verdict.rows)
        latency.draw(on: &page)
    }
}

struct OfflineReport: BenchReport {
    /// One device that missed much, while others are live.
    struct Backlog: Codable, Sendable, Equatable {
        var messages: Int
        var seconds: Double
        var messagesPerSecond: Double
        /// Of the others' messages meanwhile.
        var live: BenchLatency
    }
    var load = "offline"
    var pairs: Int
    var bodyBytes: Int
    /// The receivers are away.
    var store: BenchCost
    /// The receivers connect and take everything.
    var drain: BenchCost
    var backlog: Backlog?
    var refusals: BenchRefusals
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        page.pairs([("pairs", Cell(Figures.count(pairs))), ("body", Cell(Figures.bytes(bodyBytes)))])
        page.blank()
        page.line("Store", .strong)
        page.pairs(store.rows("a stored message"))
        page.blank()
        page.line("Drain", .strong)
        page.pairs(drain.rows("a drained message"))
        if let backlog {
            page.blank()
            page.line("A device with much to catch up with", .strong)
            page.pairs(
                [
                    ("missed", Cell(Figures.count(backlog.messages))),
                    ("drained in", Cell("\(Figures.decimal(backlog.seconds, digits: 2)) s")),
                    ("rate", Cell("\(Figures.count(Int(backlog.messagesPerSecond))) messages/s", .strong)),
                ] + backlog.live.rows("others meanwhile"))
        }
        page.blank()
        page.pairs(refusals.rows + verdict.rows)
    }
}

struct IdleReport: BenchReport {
    struct Step: Codable, Sendable, Equatable {
        /// Besides those of the warm-up.
        var connections: Int
        /// Of relayd.
        var residentBytes: Int
        var bytesPerConnection: Int
    }
    var load = "idle"
    /// Connections that were there before the first measurement.
    var warmUp: Int
    var residentBytesBefore: Int
    var steps: [Step]
    var connectionsPerSecond: Double
    var cpuMicrosecondsPerConnection: Double
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        page.pairs([
            ("warm-up", Cell(Figures.number(warmUp, "connection"))),
            ("memory before", Cell(Figures.bytes(residentBytesBefore))),
            ("connecting", Cell("\(Figures.count(Int(connectionsPerSecond))) connections/s")),
            ("relay CPU", Cell("\(Figures.decimal(cpuMicrosecondsPerConnection, digits: 1)) µs a connection")),
        ])
        page.blank()
        page.table(
            [Page.Column("CONNECTIONS", .right), Page.Column("RELAY MEMORY", .right), Page.Column("A CONNECTION", .right)],
            steps.map {
                [
                    Cell(Figures.count($0.connections)), Cell(Figures.bytes($0.residentBytes)),
                    Cell(Figures.bytes($0.bytesPerConnection), .strong),
                ]
            })
    }
}

struct KeysReport: BenchReport {
    var load = "keys"
    var contacts: Int
    /// Of each user.
    var devices: Int
    var changes: Int
    /// Per device that was told.
    var cost: BenchCost
    /// From the request to its answer, which comes when the change is on the disk.
    var answered: BenchLatency
    /// Of each change: from the request until the last device was told.
    var changeToLast: BenchLatency
    /// Accepted are changes, delivered is what devices were told.
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        page.pairs(
            [
                ("contacts", Cell(Figures.count(contacts))),
                ("devices", Cell("\(Figures.count(devices)) each")),
                ("changes", Cell(Figures.count(changes))),
            ] + cost.rows("a device told") + answered.rows("answered") + changeToLast.rows("last device told") + verdict.rows)
    }
}

struct PresenceReport: BenchReport {
    var load = "presence"
    var users: Int
    /// Of each of them.
    var contacts: Int
    var heartbeatSeconds: Int
    /// Of the user who comes and goes.
    var ownerContacts: Int
    /// While nobody takes part, while all do, and while one more user comes and goes as well.
    var idle: BenchCost
    var beating: BenchCost
    var coming: BenchCost
    /// What taking part adds to relayd's memory.
    var bytesPerConnection: Int
    var visits: Int
    /// How often devices were told of somebody meanwhile.
    var told: Int
    /// Accepted are users, delivered is who was told how everybody is.
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        func cores(_ cost: BenchCost) -> Cell { Cell("\(Figures.decimal(cost.cores, digits: 4)) cores", .strong) }
        page.pairs(
            [
                ("users", Cell("\(Figures.count(users)) with \(Figures.count(contacts)) contacts each")),
                ("heartbeat", Cell("every \(Figures.number(heartbeatSeconds, "second"))")),
                ("doing nothing", cores(idle)),
                ("with heartbeats", cores(beating)),
                ("one comes and goes", cores(coming)),
                ("", Cell("\(Figures.count(visits)) times, \(Figures.count(ownerContacts)) contacts, told \(Figures.count(told)) times")),
                ("memory", Cell("\(Figures.bytes(bytesPerConnection)) a connection more")),
                ("generator", Cell("\(Figures.decimal(beating.generatorCores, digits: 3)) cores")),
            ] + verdict.rows)
    }
}

struct SeedReport: BenchReport {
    var load = "seed"
    var connections: Int
    var bodyBytes: Int
    /// Each connection sends once in so many seconds.
    var everySeconds: Int
    var cost: BenchCost
    var latency: BenchLatency
    var refusals: BenchRefusals
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        page.pairs(
            [
                ("connections", Cell(Figures.count(connections))),
                ("body", Cell(Figures.bytes(bodyBytes))),
                ("load", Cell("each once in \(everySeconds) s")),
                ("relay cores", Cell(Figures.decimal(cost.cores, digits: 3), .strong)),
            ] + cost.rows("a delivered message") + latency.rows("latency") + refusals.rows + verdict.rows)
        latency.draw(on: &page)
    }
}

struct SurgeReport: BenchReport {
    var load = "surge"
    var pairs: Int
    var bodyBytes: Int
    /// Measured first, at saturation.
    var sustainablePerSecond: Double
    /// What was due during the surge.
    var offeredPerSecond: Double
    /// What was accepted during it.
    var acceptedPerSecond: Double
    var seconds: Int
    /// At a quarter of the sustainable rate, before and after.
    var normalPerSecond: Double
    var normal: BenchLatency
    var residentBytesBefore: Int
    var residentBytesPeak: Int
    var residentBytesAfter: Int
    /// From the end of the surge until the latency was normal again; absent when it never was within two minutes.
    var recoverySeconds: Double?
    var refusals: BenchRefusals
    var verdict: BenchVerdict

    func show(on page: inout Page) {
        page.pairs(
            [
                ("pairs", Cell(Figures.count(pairs))),
                ("body", Cell(Figures.bytes(bodyBytes))),
                ("sustainable", Cell("\(Figures.count(Int(sustainablePerSecond))) messages/s")),
                ("offered", Cell("\(Figures.count(Int(offeredPerSecond))) messages/s for \(seconds) s", .strong)),
                ("accepted", Cell("\(Figures.count(Int(acceptedPerSecond))) messages/s")),
                ("memory before", Cell(Figures.bytes(residentBytesBefore))),
                ("memory at most", Cell(Figures.bytes(residentBytesPeak), .strong)),
                ("memory after", Cell(Figures.bytes(residentBytesAfter))),
                (
                    "recovery",
                    recoverySeconds.map { Cell("\(Figures.decimal($0, digits: 2)) s until the latency was normal", .strong) }
                        ?? Cell("the latency did not become normal again", .bad)
                ),
                ("reconnects", Cell(Figures.count(refusals.reconnects))),
            ] + normal.rows("normal") + refusals.rows + verdict.rows)
    }
}

// MARK: Parts of a page

private typealias Rows = [(key: String, value: Cell)]

extension BenchCost {
    fileprivate func rows(_ each: String) -> Rows {
        [
            ("took", Cell("\(Figures.decimal(seconds, digits: 2)) s for \(Figures.count(messages))")),
            ("rate", Cell("\(Figures.count(Int(messagesPerSecond)))/s", .strong)),
            ("relay CPU", Cell("\(Figures.decimal(cpuMicrosecondsPerMessage, digits: 1)) µs \(each)", .strong)),
            ("own CPU", Cell("\(Figures.decimal(generatorMicrosecondsPerMessage, digits: 1)) µs of chatctl")),
            ("batch", Cell("\(Figures.decimal(commandsPerCommit, digits: 1)) commands a commit")),
            ("relay memory", Cell(Figures.bytes(residentBytes))),
        ]
    }
}

extension BenchLatency {
    fileprivate func rows(_ what: String) -> Rows {
        let times = [("p50", p50Microseconds), ("p99", p99Microseconds), ("p99.9", p999Microseconds), ("max", maxMicroseconds)]
        return [(what, Cell(times.map { "\($0) \(BenchLatency.milliseconds($1))" }.joined(separator: ", ")))]
    }

    static func milliseconds(_ microseconds: Int) -> String { Figures.decimal(Double(microseconds) / 1000, digits: 2) + " ms" }

    /// One line a bucket, the bars in proportion.
    fileprivate func draw(on page: inout Page) {
        guard let most = histogram.map(\.count).max(), most > 0 else { return }
        page.blank()
        page.table(
            [Page.Column("UP TO", .right), Page.Column("COUNT", .right), ""],
            histogram.map { bucket in
                let bar = (bucket.count * 40 + most - 1) / most
                let end = bucket.upToMicroseconds
                return [
                    Cell(end < 1000 ? "\(end) µs" : BenchLatency.milliseconds(end)), Cell(Figures.count(bucket.count)),
                    Cell(String(repeating: "█", count: bar), .faint),
                ]
            })
    }
}

extension BenchRefusals {
    fileprivate var rows: Rows {
        var rows: Rows = [("refused", Cell(Figures.count(refused), refused == 0 ? .good : .bad))]
        for (code, count) in byCode.sorted(by: { $0.key < $1.key }) { rows.append(("  " + code, Cell(Figures.count(count)))) }
        if heldBack > 0 { rows.append(("held back", Cell("\(Figures.count(heldBack)) (too much was under way)"))) }
        if unanswered > 0 { rows.append(("unanswered", Cell(Figures.count(unanswered), .bad))) }
        return rows
    }
}

extension BenchVerdict {
    fileprivate var rows: Rows {
        [("lost", lost), ("doubled", doubled), ("out of order", disordered), ("corrupted", corrupted)].map {
            ($0.0, Cell(Figures.count($0.1), $0.1 == 0 ? .good : .bad))
        }
    }

    /// What the command ends with when a promise was broken.
    func check() throws(ControlError) {
        guard !holds else { return }
        throw ControlError(
            .failed,
            "the relay broke its promises: \(lost) lost, \(doubled) doubled, \(disordered) out of order, \(corrupted) corrupted",
            hint: "journalctl -u relayd says how it was")
    }
}
