import Logging
import Synchronization
import Testing

@testable import relayd

/// The watchdog with parts that move when the test says so.
@Suite(.timeLimit(.minutes(10))) struct WatchdogTests {
    @Test func aRoundIsOverWhenAllHaveMoved() {
        var round = WatchdogRound()
        round.begin(parts: 2)
        round.moved(part: 1, in: 1)
        #expect(round.look() == .stuck([0]))
        #expect(round.look() == .waiting, "it is said once")
        round.moved(part: 0, in: 1)
        #expect(round.look() == .alive)
    }

    @Test func whatComesOfAnEarlierRoundDoesNotCount() {
        var round = WatchdogRound()
        round.begin(parts: 1)
        round.moved(part: 0, in: 1)
        #expect(round.look() == .alive)
        round.begin(parts: 1)
        round.moved(part: 0, in: 1)
        #expect(round.look() == .stuck([0]))
        round.moved(part: 0, in: 2)
        #expect(round.look() == .alive)
    }

    private struct Lines: LogHandler {
        var written: @Sendable (String) -> Void
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { written("\(event.level) \(event.metadata?["part"].map { "\($0)" } ?? "")") }
    }

    @Test func onePartThatHangsKeepsItQuiet() async throws {
        let (events, continuation) = AsyncStream<String>.makeStream()
        let held = Mutex<[@Sendable () -> Void]>([])
        let holding = Mutex(true)
        let watchdog = Watchdog(
            patience: .milliseconds(4),
            parts: [
                WatchedPart(name: "quick") { $0() },
                WatchedPart(name: "slow") { moved in
                    if holding.withLock({ $0 }) { held.withLock { $0.append(moved) } } else { moved() }
                },
            ], logger: Logger(label: "test") { _ in Lines(written: { continuation.yield($0) }) }, tell: { continuation.yield("alive") })
        let running = Task { await watchdog.run() }
        var iterator = events.makeAsyncIterator()
        // Nothing before it, and nothing after it until the part moves.
        #expect(await iterator.next() == "critical slow")
        holding.withLock { $0 = false }
        continuation.yield("released")
        for moved in held.withLock({ $0 }) { moved() }
        #expect(await iterator.next() == "released")
        #expect(await iterator.next() == "alive")
        #expect(await iterator.next() == "alive")
        running.cancel()
        await running.value
    }
}
