import RelayModel
import Testing

@testable import RelayGateway

@Suite struct TokenBucketTests {
    private static let second: Int64 = 1_000_000_000

    @Test func aFullBucketHoldsTheBurst() throws {
        let rate = try #require(Rate(perSecond: 2, burstSeconds: 3))
        var bucket = TokenBucket()
        for _ in 0..<6 { #expect(bucket.take(rate, at: 0) == nil) }
        #expect(bucket.take(rate, at: 0) == Self.second / 2)
        #expect(bucket.take(rate, at: Self.second / 2 - 1) == 1)
        #expect(bucket.take(rate, at: Self.second / 2) == nil)
        #expect(bucket.take(rate, at: Self.second / 2) == Self.second / 2)
    }

    @Test func itIsFullAgainAfterAsLongAsItTookTokens() throws {
        let rate = try #require(Rate(perSecond: 10, burstSeconds: 1))
        var bucket = TokenBucket()
        #expect(bucket.isFull(at: 5))
        for _ in 0..<3 { _ = bucket.take(rate, at: 5) }
        #expect(!bucket.isFull(at: 5 + 3 * Self.second / 10 - 1))
        #expect(bucket.isFull(at: 5 + 3 * Self.second / 10))
        bucket.putBack(rate)
        #expect(bucket.isFull(at: 5 + 2 * Self.second / 10))
    }

    /// It was forgotten, as one that is full may be, while somebody was about to give a token back.
    @Test func nothingComesIntoANewOne() throws {
        var bucket = TokenBucket()
        bucket.putBack(try #require(Rate(perSecond: 1)))
        #expect(bucket == TokenBucket())
    }

    @Test func theExtremesFit() throws {
        #expect(Rate(perSecond: 0) == nil)
        for (perSecond, seconds) in [(1, 1), (3, 60), (1_000_000, 3600)] {
            let rate = try #require(Rate(perSecond: perSecond, burstSeconds: seconds))
            #expect(rate.capacity / rate.interval == perSecond * seconds)
            var bucket = TokenBucket()
            let late = Int64.max / 2
            #expect(bucket.take(rate, at: 0) == nil)
            #expect(bucket.take(rate, at: late) == nil)
            #expect(!bucket.isFull(at: late))
        }
    }

    /// Against a bucket that is counted the long way: so many billionths of a token, refilled step by step.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func isATokenBucket(seed: UInt64) throws {
        print("TokenBucketTests.isATokenBucket seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<30 {
            let rate = try #require(
                Rate(perSecond: .random(in: 1...100, using: &generator), burstSeconds: .random(in: 1...3, using: &generator)))
            var bucket = TokenBucket()
            var gathered = rate.capacity
            var now = Int64.random(in: 0...(1 << 50), using: &generator)
            var accepted: [Int64] = []
            for _ in 0..<300 {
                // Now and then most of the bucket is gone at once.
                if Int.random(in: 0..<20, using: &generator) == 0 {
                    let gone = max(0, gathered / rate.interval - .random(in: 0...5, using: &generator))
                    for _ in 0..<gone { #expect(bucket.take(rate, at: now) == nil, "seed \(seed)") }
                    gathered -= gone * rate.interval
                    accepted += Array(repeating: now, count: Int(gone))
                }
                let step = Int64.random(in: 0...(rate.interval * 3), using: &generator) * (Bool.random(using: &generator) ? 1 : 0)
                now += step
                gathered = min(rate.capacity, gathered + step)
                let wait = bucket.take(rate, at: now)
                if gathered >= rate.interval {
                    #expect(wait == nil, "seed \(seed)")
                    gathered -= rate.interval
                    accepted.append(now)
                } else {
                    #expect(wait == rate.interval - gathered, "seed \(seed)")
                }
                #expect(bucket.isFull(at: now) == (gathered == rate.capacity), "seed \(seed)")
            }
            // Never more in any span than the burst and what the span brings.
            let isHeld = accepted.indices.allSatisfy { index in
                (index..<accepted.count).allSatisfy { last in
                    Int64(last - index) <= rate.capacity / rate.interval + (accepted[last] - accepted[index]) / rate.interval
                }
            }
            #expect(isHeld, "seed \(seed)")
        }
    }
}
