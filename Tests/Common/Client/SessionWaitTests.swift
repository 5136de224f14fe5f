import Dispatch
import NIOCore
import Testing

@testable import RelayClient

/// What a task may prefer, as chatctl's tasks do.
private final class OneQueue: TaskExecutor {
    private let queue = DispatchQueue(label: "one queue")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Waiting for what a session will see.
@Suite(.timeLimit(.minutes(10))) struct SessionWaitTests {
    /// What the session's loop runs next makes the condition hold. A task that prefers an executor lets it in wherever it awaits, also where a
    /// continuation is made: what came between the first look and the waiter's place was once never seen.
    @Test(arguments: [false, true]) func whatHappensRightAfterTheFirstLookIsSeen(prefersAnExecutor: Bool) async throws {
        let room = try Room("alice", "bob")
        let session = try room["alice"].session
        let waiting = { @Sendable () async -> ClientError? in
            do throws(ClientError) {
                try await session.wait(for: "the second look", timeout: .seconds(20)) { session in
                    // Marked with something of the session that nobody else touches here.
                    if session.keyChanges > 0 { return true }
                    session.loop.execute {
                        session.assumeIsolated {
                            $0.keyChanges += 1
                            $0.checkWaiters()
                        }
                    }
                    return false
                }
                return nil
            } catch { return error }
        }
        if prefersAnExecutor {
            #expect(await Task(executorPreference: OneQueue()) { await waiting() }.value == nil)
        } else {
            #expect(await waiting() == nil)
        }
        #expect(await session.waiters.isEmpty)
        await session.close()
    }
}
