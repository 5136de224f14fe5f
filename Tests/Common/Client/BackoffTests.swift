import RelayClient
import RelayModel
import Testing

@Suite struct BackoffTests {
    @Test func doublesUpToTheCeiling() {
        var backoff = Backoff(base: .milliseconds(200), ceiling: .seconds(2))
        var generator = SeededGenerator(seed: 1)
        var bounds: [Duration] = []
        for _ in 0..<6 {
            bounds.append(backoff.bound)
            _ = backoff.next(using: &generator)
        }
        #expect(bounds == [.milliseconds(200), .milliseconds(400), .milliseconds(800), .milliseconds(1600), .seconds(2), .seconds(2)])
        #expect(backoff.failures == 6)
        backoff.succeeded()
        #expect(backoff.bound == .milliseconds(200))
    }

    @Test func neverOverflows() {
        var backoff = Backoff()
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<10_000 { #expect(backoff.next(using: &generator) <= Limits.reconnectCeiling) }
        #expect(backoff.bound == Limits.reconnectCeiling)
    }

    /// Full jitter: any part of the bound, spread over all of it.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func jitter(seed: UInt64) {
        print("BackoffTests.jitter seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        var quarters = [0, 0, 0, 0]
        for _ in 0..<4000 {
            let wait = Backoff.jitter(upTo: .milliseconds(999), using: &generator)
            #expect(wait >= .zero && wait < .milliseconds(1000))
            quarters[Int(wait.milliseconds) / 250] += 1
        }
        #expect(quarters.allSatisfy { $0 > 800 && $0 < 1200 })
        #expect(Backoff.jitter(upTo: .zero, using: &generator) == .zero)
    }

    /// The same seed gives the same waits.
    @Test func repeatable() {
        func waits() -> [Duration] {
            var backoff = Backoff()
            var generator = SeededGenerator(seed: 7)
            return (0..<20).map { _ in backoff.next(using: &generator) }
        }
        #expect(waits() == waits())
    }
}
