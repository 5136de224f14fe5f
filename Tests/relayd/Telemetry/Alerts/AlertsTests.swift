import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import RelayHTTP
import RelayMetrics
import RelayModel
import RelayStorage
import RelayTLS
import RelayTestSupport
import Synchronization
import Testing

@testable import RelayTelemetry

/// Lines of the log with their fields.
private final class LogLines: Sendable {
    let texts = Mutex<[String]>([])

    struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            lines.texts.withLock { $0.append("\(event.level) \(event.message) \(fields.joined(separator: " "))") }
        }
    }
}

/// With a real store, real commands and a real server; the clocks are the test's.
@Suite(.timeLimit(.minutes(10))) struct AlertsTests {
    private struct Scene {
        var alerts: Alerts
        var inbox: AlertInbox
        var metrics: Metrics
        var clock: ManualWallClock
        var monotonic: ManualMonotonicClock
        var store: Store
        var folder: TemporaryDirectory
        var log: LogLines

        /// Looks, some seconds later.
        func look(after seconds: Int) async {
            clock.advance(by: .seconds(seconds))
            monotonic.advance(by: .seconds(seconds))
            await alerts.look()
        }
    }

    private func scene(_ folder: TemporaryDirectory, _ clock: ManualWallClock, _ settings: AlertSettings = AlertSettings()) async throws -> Scene {
        let store = try Store(path: folder.file("relay.db"), clock: clock, onFailure: { Issue.record("the store failed: \($0)") })
        let (inbox, metrics, monotonic, log) = (AlertInbox(), Metrics(), ManualMonotonicClock(1 << 40), LogLines())
        let alerts = try await Alerts(
            writer: store.writer, readers: store.readers, clock: clock, monotonic: monotonic, settings: settings, inbox: inbox,
            relay: "https://relay.example", metrics: metrics, group: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "alerts") { _ in LogLines.Handler(lines: log) })
        return Scene(
            alerts: alerts, inbox: inbox, metrics: metrics, clock: clock, monotonic: monotonic, store: store, folder: folder, log: log
        )
    }

    private func run(_ settings: AlertSettings = AlertSettings(), _ body: (Scene) async throws -> Void) async throws {
        let scene = try await scene(TemporaryDirectory(), ManualWallClock(SystemWallClock().now()), settings)
        do { try await body(scene) } catch {
            await scene.store.close()
            throw error
        }
        await scene.store.close()
    }

    /// Whoever stops the relay within a second of it.
    @Test func whatWasRaisedJustBeforeTheEndIsKept() async throws {
        try await run { scene in
            let watch = Task {
                while !Task.isCancelled { await Task.yield() }
                await scene.alerts.run()
            }
            scene.inbox.raise(AlertEvent(.blockedSender))
            watch.cancel()
            await watch.value
            #expect(await scene.alerts.rows.map(\.kind) == [.blockedSender])
            let kept = try await scene.store.readers.read { try $0.alerts() }
            #expect(kept.map(\.kind) == [.blockedSender])
            let texts = scene.log.texts.withLock { $0 }
            #expect(texts.contains { $0.contains("kind=blocked_sender") }, "\(texts)")
        }
    }

    @Test func whatIsRaisedIsKeptAndSaidWithoutAName() async throws {
        let (folder, clock) = (try TemporaryDirectory(), ManualWallClock(SystemWallClock().now()))
        let first = try await scene(folder, clock)
        let added = try await first.store.writer.perform(
            .addUser(AddUser(name: UserName("alice"), displayName: nil, avatar: nil, inviteHash: [1], inviteExpires: clock.now())))
        guard case .userAdded(let alice, _) = added else {
            Issue.record("no user: \(added)")
            return
        }
        for _ in 1...3 { first.inbox.raise(AlertEvent(.highSendRate, about: .user(alice), figure: 2001)) }
        await first.look(after: 1)
        first.metrics.diskBytes.set(100)
        first.metrics.diskFreeBytes.set(1)
        await first.look(after: 10)
        let rows = await first.alerts.rows
        #expect(rows.map(\.kind) == [.diskNearlyFull, .highSendRate] && rows[1].subject == .user(alice) && rows[1].count == 3)
        let lines = first.log.texts.withLock { $0 }
        #expect(lines.count == 2 && lines[0].hasPrefix("warning alert: ") && lines[0].hasSuffix("alert=1 kind=high_send_rate"))
        #expect(lines[1].hasPrefix("critical alert: ") && lines.allSatisfy { !$0.contains("\(alice.rawValue)") })
        await first.store.close()
        // A restart.
        let second = try await scene(folder, clock)
        #expect(await second.alerts.rows == rows)
        await second.look(after: 601)
        #expect(await second.alerts.rows.map { $0.overAt != nil } == [false, true])
        // Who is gone is forgotten, and does not come back with what is still in memory.
        _ = try await second.store.writer.perform(.removeUser(alice))
        second.inbox.raise(AlertEvent(.highSendRate, about: .user(alice), figure: 1))
        await second.look(after: 1)
        #expect(try await second.store.readers.read { try $0.alerts() }.map(\.kind) == [.diskNearlyFull])
        await second.store.close()
    }

    @Test func failuresOfAMinuteAreABurst() async throws {
        try await run { scene in
            // 59 a minute is none.
            for _ in 0..<18 {
                scene.metrics.sends.add(.overloaded, 9)
                await scene.look(after: 10)
            }
            #expect(await scene.alerts.rows.isEmpty)
            for _ in 0..<12 {
                scene.metrics.sends.add(.failed, 11)
                await scene.look(after: 10)
            }
            #expect(await scene.alerts.rows.map(\.kind) == [.errorBurst])
            for _ in 0..<7 { await scene.look(after: 10) }
            #expect(await scene.alerts.rows.first?.overAt != nil)
        }
    }

    // MARK: Handing over

    private func script(_ folder: TemporaryDirectory, _ text: String) throws -> String {
        let path = folder.file("notify")
        try "#!/bin/sh\n\(text)\n".write(toFile: path, atomically: true, encoding: .utf8)
        guard chmod(path, 0o700) == 0 else { throw SupportFailure.system("making a script executable") }
        return path
    }

    private func text(_ folder: TemporaryDirectory, _ name: String) throws -> String {
        try String(contentsOfFile: folder.file(name), encoding: .utf8)
    }

    @Test func aCommandGetsTheNotice() async throws {
        let folder = try TemporaryDirectory()
        var settings = AlertSettings()
        settings.target = .command(
            try script(
                folder,
                "printf '%s %s %s\\n' \"$RELAYD_ALERT_STATE\" \"$RELAYD_ALERT_KIND\" \"$RELAYD_ALERT\" >> \(folder.file("got"))\nenv | cut -d= -f1 | sort | tr '\\n' ' ' > \(folder.file("env"))"
            ))
        try await run(settings) { scene in
            #expect(try await scene.alerts.test() >= .zero)
            scene.inbox.raise(AlertEvent(.highSendRate, about: .user(UserID(987_654_321)), figure: 1))
            // Worth knowing only: not handed over.
            scene.inbox.raise(AlertEvent(.lowPrekeys, about: .device(DeviceID(987_654_322)), figure: 1))
            await scene.look(after: 1)
            await scene.alerts.handOver()
            await scene.look(after: 601)
            await scene.alerts.handOver()
            let lines = try text(folder, "got").split(separator: "\n")
            #expect(
                lines.map { $0.split(separator: " ").prefix(2).joined(separator: " ") } == [
                    "test test", "began high_send_rate", "ended high_send_rate",
                ])
            #expect(lines.allSatisfy { !$0.contains("98765432") && $0.contains("\"relay\":\"https://relay.example\"") })
            // Nothing of relayd's own environment but what is named; the shell adds its own.
            let names = Set(try text(folder, "env").split(separator: " ").map(String.init))
            #expect(
                names.subtracting(["PWD", "OLDPWD", "SHLVL", "_"])
                    == ["PATH", "RELAYD_ALERT", "RELAYD_ALERT_KIND", "RELAYD_ALERT_SEVERITY", "RELAYD_ALERT_STATE", "RELAYD_ALERT_TEXT"])
        }
    }

    @Test func aCommandThatFailsIsTriedAgainAndTheLogSaysSo() async throws {
        let folder = try TemporaryDirectory()
        var settings = AlertSettings()
        settings.target = .command(try script(folder, "echo x >> \(folder.file("tries"))\nexit 3"))
        try await run(settings) { scene in
            await #expect(throws: AlertError.notHandedOver(.exited(3))) { try await scene.alerts.test() }
            scene.inbox.raise(AlertEvent(.purgeFailed))
            await scene.look(after: 1)
            for _ in 0..<200 {
                await scene.alerts.handOver()
                scene.monotonic.advance(by: .seconds(1))
            }
            let tries = try text(folder, "tries").split(separator: "\n").count
            #expect(tries == 1 + Limits.alertAttempts)
            let lines = scene.log.texts.withLock { $0 }.filter { $0.contains("handed over") }
            #expect(
                lines.count == Limits.alertAttempts
                    && lines.last == "warning an alert could not be handed over kind=purge_failed reason=the command ended with status 3")
        }
        settings.target = .command(folder.file("nothing"))
        try await run(settings) { scene in
            let error = await #expect(throws: AlertError.self) { try await scene.alerts.test() }
            guard case .notHandedOver(.cannotStart) = error else {
                Issue.record("\(error as Any)")
                return
            }
        }
    }

    @Test func aCommandThatHangsIsKilledWithWhatItStarted() async throws {
        let folder = try TemporaryDirectory()
        // Open for as long as one of them lives.
        let sign = folder.file("sign")
        guard mkfifo(sign, 0o600) == 0 else { throw SupportFailure.system("making a fifo") }
        let reader = open(sign, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard reader >= 0 else { throw SupportFailure.system("opening a fifo") }
        defer { close(reader) }
        let carrier = NoticeCarrier(
            target: .command(try script(folder, "trap '' TERM\nexec 3> \(sign)\nsleep 1000 &\nwait")), group: MultiThreadedEventLoopGroup.singleton)
        let notice = AlertNotice(testOf: "https://relay.example", at: Timestamp(milliseconds: 0))
        await #expect(throws: NoticeError.timeout(.seconds(2))) { try await carrier.carry(notice, patience: .seconds(2)) }
        var byte: UInt8 = 0
        if read(reader, &byte, 1) == -1 {
            var waiting = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
            #expect(poll(&waiting, 1, 300_000) == 1 && waiting.revents & Int16(POLLHUP) != 0)
        }
    }

    @Test func aServerGetsTheNotice() async throws {
        let received = Mutex<[(head: HTTPRequestHead, body: String)]>([])
        let status = Atomic<Int>(204)
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                try channel.pipeline.syncOperations.addHandler(
                    Receiver { head, body in
                        received.withLock { $0.append((head, body)) }
                        return HTTPResponseStatus(statusCode: status.load(ordering: .relaxed))
                    })
            }
        }.bind(host: "127.0.0.1", port: 0).get()
        var settings = AlertSettings()
        settings.target = NoticeTarget(webhook: "http://127.0.0.1:\(server.localAddress?.port ?? 0)/hook?key=1")
        try await run(settings) { scene in
            _ = try await scene.alerts.test()
            status.store(500, ordering: .relaxed)
            await #expect(throws: AlertError.notHandedOver(.answered(500))) { try await scene.alerts.test() }
            let first = try #require(received.withLock { $0.first })
            #expect(first.head.method == .POST && first.head.uri == "/hook?key=1" && first.head.headers["content-type"] == ["application/json"])
            #expect(first.body.contains("\"state\":\"test\""))
            try await server.close()
            let error = await #expect(throws: AlertError.self) { try await scene.alerts.test() }
            guard case .notHandedOver(.unreachable) = error else {
                Issue.record("\(error as Any)")
                return
            }
        }
    }

    @Test func addressesOfServers() {
        #expect(NoticeTarget(webhook: "http://localhost:9/a/b?c") == .webhook(.tcp(host: "localhost", port: 9), path: "/a/b?c"))
        #expect(NoticeTarget(webhook: "http://[::1]:9?c") == .webhook(.tcp(host: "::1", port: 9), path: "/?c"))
        #expect(NoticeTarget(webhook: "http://host") == .webhook(.tcp(host: "host", port: 80), path: "/"))
        #expect(NoticeTarget(webhook: "https://host/x") == .webhook(.tls(host: "host", port: 443, trust: .system), path: "/x"))
        for wrong in ["ws://host/", "unix:/x", "http://", "http://a b/", "http://host/#x", "host", "http://host/\u{e9}"] {
            #expect(NoticeTarget(webhook: wrong) == nil, "\(wrong)")
        }
    }
}

/// Answers each request with what it is told to.
private final class Receiver: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private let answer: (HTTPRequestHead, String) -> HTTPResponseStatus
    private var head: HTTPRequestHead?
    private var body = ""

    init(_ answer: @escaping (HTTPRequestHead, String) -> HTTPResponseStatus) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body(let buffer): body += String(buffer: buffer)
        case .end:
            guard let head else { return }
            let reply = HTTPResponseHead(version: .http1_1, status: answer(head, body), headers: ["content-length": "0"])
            body = ""
            context.write(wrapOutboundOut(.head(reply)), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
