import Foundation
import RelayTestSupport
import Testing

/// The watchdog of the real relayd, with the tests in systemd's place.
@Suite("Watchdog") struct WatchdogTests {
    @Test(.timeLimit(.minutes(10))) func itIsQuietWhileTheWriterIsStuck() async throws {
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let relay = try RelayProcess(directory: directory, environment: faults.environment.merging(["WATCHDOG_USEC": "400000"]) { $1 })
        try await relay.start()
        // Read all the time, as systemd does: relayd would wait for a reader.
        let (told, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let listening = Task {
            while (try? await relay.says("WATCHDOG=1")) != nil { continuation.yield() }
            continuation.finish()
        }
        var words = told.makeAsyncIterator()
        #expect(await words.next() != nil)
        // A disk that hangs holds the writer up.
        faults.arm(.hold, .flush, on: .log)
        let blocked = try relay.chatctl.start(["user", "add", "alice"])
        // On a busy machine others may be late as well.
        let line = await relay.line { $0.contains("does not move") && $0.contains("part=writer") }
        #expect(line != nil, "it ended")
        // It goes on by itself, and says so.
        faults.disarm()
        // Where all this took longer than chatctl waits, it says so (75).
        let ended = await blocked.waitForExit()
        #expect(ended == .exited(0) || ended == .exited(75))
        // One may have been said before; the second was not.
        _ = await words.next()
        #expect(await words.next() != nil)
        try await relay.kill()
        await listening.value
    }
}
