import Foundation
import RelaySQLite
import RelayTestSupport
import Testing

/// The watchdog of the real relayd, with the tests in systemd's place.
@Suite("Watchdog") struct WatchdogTests {
    @Test(.timeLimit(.minutes(10))) func itIsQuietWhileTheWriterIsStuck() async throws {
        let relay = try RelayProcess(environment: ["WATCHDOG_USEC": "400000"])
        try await relay.start()
        // Read all the time, as systemd does: relayd would wait for a reader.
        let (told, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let listening = Task {
            while (try? await relay.says("WATCHDOG=1")) != nil { continuation.yield() }
            continuation.finish()
        }
        var words = told.makeAsyncIterator()
        #expect(await words.next() != nil)
        // Who holds the store's write lock holds the writer up, as a disk that hangs does.
        let database = try Database(path: relay.storePath, access: .readWriteCreate)
        try database.execute("BEGIN IMMEDIATE")
        let blocked = try relay.chatctl.start(["user", "add", "alice"])
        let line = await relay.line(containing: "does not move")
        #expect(line?.contains("part=writer") == true, "\(line ?? "it ended")")
        // It goes on by itself, and says so.
        try database.execute("ROLLBACK")
        #expect(await blocked.waitForExit() == .exited(0))
        // One may have been said before; the second was not.
        _ = await words.next()
        #expect(await words.next() != nil)
        await relay.kill()
        await listening.value
    }
}
