import Logging
import NIOCore
import RelayMetrics
import RelayModel
import RelayStorage
import Synchronization

/// What the operator decided about alerts.
package struct AlertSettings: Sendable, Equatable {
    /// Nil: notices go to the log only.
    package var target: NoticeTarget?
    /// What is handed over: this and worse.
    package var severity = AlertSeverity.warning
    /// Below so many percent of the file system free there is an alert; clear at half as many more.
    package var diskFreePercent = 10
    package var undeliveredMessages = 1_000_000
    /// Answers `overloaded` and `internal` in a minute.
    package var errorsPerMinute = 60
    package init() {}

    /// The rule of a kind with the operator's figures in it.
    package func rule(of kind: AlertKind) -> AlertKind.Rule {
        var rule = kind.rule
        guard case .reading(_, _, let holds, let unit) = rule.trigger else { return rule }
        switch kind {
        case .diskLow:
            rule.trigger = .reading(raise: diskFreePercent, clear: diskFreePercent + max(1, diskFreePercent / 2), holds: holds, unit: unit)
        case .undeliveredStore: rule.trigger = .reading(raise: undeliveredMessages, clear: undeliveredMessages / 4 * 3, holds: holds, unit: unit)
        case .errorBurst: rule.trigger = .reading(raise: errorsPerMinute, clear: errorsPerMinute / 10, holds: holds, unit: unit)
        default: break
        }
        return rule
    }
}

/// Why an operator's wish about alerts was not fulfilled.
package enum AlertError: Error, Sendable, Equatable {
    case unknown(Int)
    case noTarget
    case notHandedOver(NoticeError)
}

/// Watches over the relay: gathers what happens, decides what is an alert, keeps it, says it in the log, and hands it over.
package actor Alerts {
    private let writer: Writer
    private let readers: ReaderPool
    private let clock: any WallClock
    private let monotonic: any MonotonicClock
    /// Read by whoever shows them, on any thread; changed by ``apply(_:)``.
    private let settings: Mutex<AlertSettings>
    private let relay: String
    private let metrics: Metrics
    private let group: any EventLoopGroup
    private var carrier: NoticeCarrier?
    private let logger: Logger
    private let inbox: AlertInbox

    private var book: AlertBook
    private var queue = NoticeQueue()
    private var load: LoadMeter
    private var days: [LoadDay]
    private var readings = AlertReadings()
    /// When each of the slower looks is due, in monotonic nanoseconds.
    private var readingsDue: Int64 = 0
    private var loadDue: Int64 = 0
    private var recordingDue: Int64 = 0

    /// - Parameters:
    ///   - inbox: what modules raise their events with.
    ///   - relay: the public URL, for notices.
    ///   - metrics: where the figures that are watched are measured, and alerts are counted.
    ///   - processors: of the host.
    package init(
        writer: Writer, readers: ReaderPool, clock: any WallClock, monotonic: any MonotonicClock, settings: AlertSettings, inbox: AlertInbox,
        relay: String, metrics: Metrics, processors: Int = 1, group: any EventLoopGroup, logger: Logger
    ) async throws {
        self.writer = writer
        self.readers = readers
        self.clock = clock
        self.monotonic = monotonic
        self.settings = Mutex(settings)
        self.inbox = inbox
        self.relay = relay
        self.metrics = metrics
        self.logger = logger
        self.group = group
        carrier = settings.target.map { NoticeCarrier(target: $0, group: group) }
        let (rows, days) = try await readers.read { (try $0.alerts(), try $0.loadDays()) }
        book = AlertBook(rows, rules: Self.rules(settings))
        let today = LoadMeter.day(of: clock.now())
        self.days = days.filter { $0.day < today }
        load = LoadMeter(processors: processors, today: days.first { $0.day == today })
        recordingDue = monotonic.nanoseconds() + Limits.loadRecording.nanoseconds
    }

    /// Other settings hold from the next look on. Notices that wait go to the new target.
    package func apply(_ settings: AlertSettings) {
        let before = self.settings.withLock { current in
            defer { current = settings }
            return current
        }
        guard before != settings else { return }
        book.rules = Self.rules(settings)
        if before.target != settings.target { carrier = settings.target.map { NoticeCarrier(target: $0, group: group) } }
    }

    private static func rules(_ settings: AlertSettings) -> [AlertKind: AlertKind.Rule] {
        Dictionary(uniqueKeysWithValues: AlertKind.allCases.map { ($0, settings.rule(of: $0)) })
    }

    // MARK: Looking

    /// Watches until it is cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.repeating { await self.look() } }
            group.addTask { await self.repeating { await self.handOver() } }
        }
        // What happened since the last look, while the connections ended.
        await look()
        await record(all: true)
    }

    private func repeating(_ step: @Sendable () async -> Void) async {
        while !Task.isCancelled {
            await step()
            try? await Task.sleep(for: Limits.alertPause)
        }
    }

    /// One look at what happened, and at every figure that is due.
    package func look() async {
        let now = clock.now()
        let tick = monotonic.nanoseconds()
        var turns: [AlertBook.Turn] = []
        let (settled, raised) = inbox.take()
        for kind in settled { turns += book.settle(kind, at: now) }
        for (event, count) in raised {
            if let turn = book.note(event, count: count, at: now) { turns.append(turn) }
        }
        turns += book.tick(at: now)
        if tick >= loadDue {
            loadDue = tick + Duration.seconds(60).nanoseconds
            await measureLoad(at: now)
        }
        if tick >= readingsDue {
            readingsDue = tick + Limits.alertReadings.nanoseconds
            let free = metrics.diskBytes.value > 0 ? Int(metrics.diskFreeBytes.value) : nil
            let hints = SizingHint.readings(days, today: LoadMeter.day(of: now), freeBytes: free)
            let figures = readings.take(metrics, at: tick).merging(hints) { first, _ in first }
            for (kind, figure) in figures.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                if let turn = book.read(kind, figure, at: now) { turns.append(turn) }
            }
        }
        for turn in turns { tell(turn, at: now) }
        await record(all: false)
    }

    private func measureLoad(at now: Timestamp) async {
        let sample = LoadMeter.Sample(at: now, cpu: Int(metrics.cpuSeconds.value * 1_000_000), failures: AlertReadings.failures(metrics))
        let ended = load.add(sample, undelivered: Int(metrics.undelivered.value), storeBytes: Int(metrics.storeBytes.value))
        if let ended {
            days.append(ended)
            if days.count > Limits.loadDaysKept { days.removeFirst() }
            await recordLoad(ended)
        }
        let tick = monotonic.nanoseconds()
        if tick >= recordingDue {
            recordingDue = tick + Limits.loadRecording.nanoseconds
            if let today = load.today { await recordLoad(today) }
        }
    }

    private func recordLoad(_ day: LoadDay) async { _ = try? await writer.perform(.recordLoad(day)) }

    /// Writes down what changed; what cannot be written is tried again with the next look.
    private func record(all: Bool) async {
        let now = clock.now()
        let rows = book.due(at: now, all: all)
        guard !rows.isEmpty else { return }
        let command = RecordAlerts(rows: rows, forgetBefore: Timestamp(milliseconds: now.milliseconds - Limits.alertLifetime.milliseconds))
        do { _ = try await writer.perform(.recordAlerts(command)) } catch { book.putBack(rows, at: now) }
    }

    // MARK: Telling

    /// Neither the log nor the notice says about whom.
    private func tell(_ turn: AlertBook.Turn, at now: Timestamp) {
        let row = turn.row
        let rule = book.rule(of: row.kind)
        let fields: Logger.Metadata = ["kind": "\(row.kind.rawValue)", "alert": "\(row.id)"]
        switch turn {
        case .began:
            metrics.alerts.add(row.kind)
            let level: Logger.Level =
                switch rule.severity {
                case .info: .notice
                case .warning: .warning
                case .critical: .critical
                }
            logger.log(level: level, "alert: \(rule.about)", metadata: fields)
        case .ended: logger.notice("alert is over", metadata: fields)
        }
        guard carrier != nil, rule.severity >= target.severity else { return }
        queue.offer(AlertNotice(turn, rule, relay: relay, at: now), at: monotonic.nanoseconds())
    }

    /// Hands over what is due, one after the other.
    package func handOver() async {
        // Each goes to where notices go then: it may be another target since the one before.
        while let carrier, let entry = queue.next(at: monotonic.nanoseconds()) {
            do throws(NoticeError) {
                try await carrier.carry(entry.notice, patience: Limits.alertPatience)
            } catch {
                let again = queue.failed(entry, at: monotonic.nanoseconds())
                logger.warning(
                    again ? "an alert could not be handed over yet" : "an alert could not be handed over",
                    metadata: ["kind": "\(entry.notice.kind)", "reason": "\(error)"])
            }
        }
    }

    /// The store has failed and the relay is ending: nothing can be written down any more, and there is one attempt.
    package func storeFailed() async {
        let now = clock.now()
        guard let turn = book.note(AlertEvent(.storeFailed), count: 1, at: now), let carrier else { return }
        let notice = AlertNotice(turn, book.rule(of: .storeFailed), relay: relay, at: now)
        do throws(NoticeError) {
            try await carrier.carry(notice, patience: Limits.alertLastPatience)
        } catch {
            logger.warning("an alert could not be handed over", metadata: ["kind": "\(notice.kind)", "reason": "\(error)"])
        }
    }

    // MARK: Operators

    /// Newest first.
    package var rows: [AlertRow] { book.rows }

    /// Of every kind, with the operator's figures in it.
    package nonisolated var rules: [(kind: AlertKind, rule: AlertKind.Rule)] { AlertKind.allCases.map { ($0, rule(of: $0)) } }

    package nonisolated func rule(of kind: AlertKind) -> AlertKind.Rule { settings.withLock { $0.rule(of: kind) } }

    /// Where notices go, and which.
    package nonisolated var target: (target: NoticeTarget?, severity: AlertSeverity) { settings.withLock { ($0.target, $0.severity) } }

    package func row(_ id: Int) throws(AlertError) -> AlertRow {
        guard let row = book.rows.first(where: { $0.id == id }) else { throw .unknown(id) }
        return row
    }

    /// - Parameter ids: nil: all that nobody has acknowledged.
    package func acknowledge(_ ids: [Int]?) async throws(AlertError) -> [AlertRow] {
        let now = clock.now()
        let wanted = ids ?? book.rows.filter { $0.acknowledgedAt == nil }.map(\.id)
        for id in wanted { _ = try row(id) }
        let rows = wanted.compactMap { book.acknowledge($0, at: now) }
        await record(all: false)
        return rows
    }

    /// Hands a test over at once.
    /// - Returns: how long it took.
    package func test() async throws(AlertError) -> Duration {
        guard let carrier else { throw .noTarget }
        let began = monotonic.nanoseconds()
        do throws(NoticeError) {
            try await carrier.carry(AlertNotice(testOf: relay, at: clock.now()), patience: Limits.alertPatience)
        } catch {
            throw .notHandedOver(error)
        }
        return .nanoseconds(monotonic.nanoseconds() - began)
    }
}
