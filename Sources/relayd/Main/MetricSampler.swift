import Glibc
import NIOCore
import RelayControlServer
import RelayGateway
import RelayMessageSending
import RelayMetrics
import RelayModel
import RelayRetention
import RelayStorage
import RelayTelemetry
import ServiceLifecycle

/// Looks every ``Limits/metricInterval`` at what nobody counts as it happens, and publishes all metrics.
struct MetricSampler: Service {
    var metrics: Metrics
    var published: PublishedMetrics
    var store: Store
    var gateway: Gateway
    var retention: Retention
    var ledger: PrivacyLedger
    var certificates: Certificates?
    var clock: any WallClock

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var count = UndeliveredCount()
            while true {
                await sample()
                metrics.undelivered.set(await count.step(store.readers))
                let people = (try? await ledger.series(periods: 1)).map(PeopleExposition.text) ?? ""
                published.publish(metrics.snapshot(at: clock.now()), people: people)
                guard (try? await Task.sleep(for: Limits.metricInterval)) != nil else { return }
            }
        }
    }

    private func sample() async {
        certificates?.measure()
        metrics.queueCommands.set(SizeClass.of(store.writer.statistics.queued))
        metrics.webSockets.set(SizeClass.of(gateway.webSockets))
        metrics.httpConnections.set(SizeClass.of(gateway.httpConnections))
        metrics.storeBytes.set(store.fileBytes)
        metrics.logBytes.set(store.logBytes)
        if let space = try? await store.readers.read({ try $0.space() }) { metrics.storeFreeBytes.set(space.free * space.pageBytes) }
        if let disk = FileSystem(of: store.path) {
            metrics.diskBytes.set(disk.bytes)
            metrics.diskFreeBytes.set(disk.freeBytes)
            metrics.diskFreeInodes.set(disk.freeInodes)
        }
        let purge = retention.progress
        metrics.purgeRunning.set(purge == nil ? 0 : 1)
        metrics.purgeProgress.set(purge?.fraction ?? 0)
        metrics.openFiles.set(ProcessFigures.openFiles)
        metrics.openFilesLimit.set(ProcessFigures.openFilesLimit)
        metrics.residentBytes.set(ProcessFigures.residentBytes)
        metrics.cpuSeconds.set(Double(ProcessFigures.cpuMicroseconds) / 1_000_000)
    }
}

/// Counts what is not delivered, some chats at a time: one round over the store takes as many samples as it needs.
struct UndeliveredCount {
    private var chat = ChatID(0)
    private var soFar = 0
    private var last = 0

    /// Some more of the round. Gives what the last whole round counted, or this one so far when that is more.
    mutating func step(_ readers: ReaderPool) async -> Int {
        for _ in 0..<Limits.undeliveredSteps {
            let from = chat
            // A store that cannot be read ends the relay elsewhere.
            guard let found = try? await readers.read({ try $0.undelivered(after: from) }) else { break }
            soFar += found.messages
            guard let next = found.next else {
                last = soFar
                soFar = 0
                chat = ChatID(0)
                break
            }
            chat = next
        }
        return max(last, soFar)
    }
}

/// The file system that a file lies in.
struct FileSystem {
    var bytes: Int
    /// What a user who is not root may still write, and how many files may still be made.
    var freeBytes: Int
    var freeInodes: Int

    /// Nil when it cannot be asked.
    init?(of path: String) {
        var figures = statvfs()
        guard statvfs(path, &figures) == 0 else { return nil }
        let unit = Int(clamping: figures.f_frsize)
        bytes = Int(clamping: figures.f_blocks).multipliedReportingOverflow(by: unit).partialValue
        freeBytes = Int(clamping: figures.f_bavail).multipliedReportingOverflow(by: unit).partialValue
        freeInodes = Int(clamping: figures.f_favail)
    }
}

/// Asks every event loop now and then to do something at a certain time, and notes how late it is.
enum LoopProbe {
    static func start(on loops: [any EventLoop], _ metrics: Metrics) {
        for loop in loops { schedule(on: loop, metrics) }
    }

    private static func schedule(on loop: any EventLoop, _ metrics: Metrics) {
        let due = NIODeadline.now() + TimeAmount(Limits.loopProbeInterval)
        loop.scheduleTask(deadline: due) {
            metrics.loopLagSeconds.record(nanoseconds: (NIODeadline.now() - due).nanoseconds)
            schedule(on: loop, metrics)
        }
    }
}

// It knows nothing of the service group; here it becomes a part of it.
struct MetricsEndpoint: Service {
    var listener: MetricsListener
    var address: ListenAddress

    func run() async throws {
        do {
            try await listener.run()
        } catch let error as IOError {
            let reason = error.errnoCode == EADDRINUSE ? "another program listens there already" : Listener.reason(error)
            throw Listener.Failed(description: "\(address) cannot be listened on for metrics: \(reason); metrics.listen says where")
        }
    }
}
