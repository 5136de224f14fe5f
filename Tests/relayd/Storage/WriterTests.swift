import RelayModel
import RelayStorage
import RelayTestSupport
import Synchronization
import Testing

/// What shares a commit. The patience of most receivers here is longer than the test may run: what ends a wait is what was done.
@Suite(.timeLimit(.minutes(10))) struct WriterTests {
    private final class Receiver: CommitReceiver {
        let patience: Duration
        let batches: AsyncStream<Int>
        private let continuation: AsyncStream<Int>.Continuation

        init(patience: Duration) {
            self.patience = patience
            (batches, continuation) = AsyncStream.makeStream()
        }

        func committed(_ batch: [Committed], since: Int64) { continuation.yield(batch.count) }
        func failed() { continuation.finish() }

        /// Sizes of the next batches until they are `count` commands together.
        func batches(of count: Int) async -> [Int] {
            var sizes: [Int] = []
            for await size in batches {
                sizes.append(size)
                if sizes.reduce(0, +) >= count { break }
            }
            return sizes
        }
    }

    private let command = Command.read(UserID(1), ChatID(1), chatSeq: 1)

    private func submit(_ count: Int, to store: Store, for receiver: Receiver, riding: Bool = false) throws {
        for request in 0..<UInt64(count) {
            try store.writer.submit(command, reply: .batch(receiver, Origin(loop: 0, connection: 1, request: request)), riding: riding)
        }
    }

    private func withStore(_ body: (Store) async throws -> Void) async throws {
        let directory = try TemporaryDirectory()
        let store = try Store(path: directory.file("relay.db"), onFailure: { Issue.record("the store failed: \($0)") })
        do { try await body(store) } catch {
            await store.close()
            throw error
        }
        await store.close()
    }

    @Test func thePatientShareACommitWhenTheyAreEnough() async throws {
        try await withStore { store in
            let receiver = Receiver(patience: .seconds(3600))
            try submit(Limits.writerGathered, to: store, for: receiver)
            #expect(await receiver.batches(of: Limits.writerGathered) == [Limits.writerGathered])
            try submit(Limits.writerGathered, to: store, for: receiver)
            #expect(await receiver.batches(of: Limits.writerGathered) == [Limits.writerGathered])
        }
    }

    @Test func patienceEnds() async throws {
        try await withStore { store in
            let receiver = Receiver(patience: .milliseconds(1))
            try submit(1, to: store, for: receiver)
            #expect(await receiver.batches(of: 1) == [1])
        }
    }

    @Test func aCallerHurriesThePatient() async throws {
        try await withStore { store in
            let receiver = Receiver(patience: .seconds(3600))
            try submit(3, to: store, for: receiver)
            _ = try await store.writer.perform(command)
            #expect(await receiver.batches(of: 3) == [3])
        }
    }

    @Test func stoppingHurriesThePatient() async throws {
        try await withStore { store in
            let receiver = Receiver(patience: .seconds(3600))
            try submit(3, to: store, for: receiver)
            await store.close()
            #expect(await receiver.batches(of: 3) == [3])
        }
    }

    @Test func whatRidesWaitsForARide() async throws {
        try await withStore { store in
            let receiver = Receiver(patience: .zero)
            try submit(3, to: store, for: receiver, riding: true)
            try submit(1, to: store, for: receiver)
            #expect(await receiver.batches(of: 4) == [4])
            try submit(3, to: store, for: receiver, riding: true)
            await store.close()
            #expect(await receiver.batches(of: 3) == [3])
        }
    }
}
