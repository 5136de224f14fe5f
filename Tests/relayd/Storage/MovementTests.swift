import RelayModel
import RelayStorage
import RelayTestSupport
import Testing

/// The signs of life that the watchdog asks for.
@Suite(.timeLimit(.minutes(10))) struct MovementTests {
    private func moved(_ ask: (@escaping @Sendable () -> Void) -> Void) async {
        let (calls, continuation) = AsyncStream<Void>.makeStream()
        ask { continuation.yield() }
        for await _ in calls { break }
    }

    @Test func theyComeFromIdleThreadsAndFromBusyOnes() async throws {
        let directory = try TemporaryDirectory()
        let store = try Store(path: directory.file("relay.db"), onFailure: { Issue.record("the store failed: \($0)") })
        await moved { store.writer.whenMoved($0) }
        await moved { store.readers.whenMoved($0) }

        // Behind the commands that are there, in the middle of those, or in the pause between two: it comes in any case.
        for _ in 0..<200 {
            for _ in 0..<20 { try store.writer.submit(.read(UserID(1), ChatID(1), chatSeq: 1), reply: .call { _ in }) }
            store.readers.read({ _ in }, completion: { _ in })
            await moved { store.writer.whenMoved($0) }
            await moved { store.readers.whenMoved($0) }
        }
        await store.close()
    }
}
