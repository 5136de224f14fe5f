import RelayCrypto
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayTestSupport
import RelayWire
import Testing

@testable import RelayDirectory
@testable import RelayGateway

@Suite struct ConnectionAllowanceTests {
    private func withLimits(_ rates: RateLimits, _ body: (GatewayLimits, ManualMonotonicClock) throws -> Void) async throws {
        let folder = try TemporaryDirectory()
        let store = try Store(path: folder.file("relay.db"), onFailure: { Issue.record("the store failed: \($0)") })
        let directory = try await Directory(
            writer: store.writer, readers: store.readers, clock: SystemWallClock(), entropy: SystemEntropy(),
            settings: DirectorySettings(publicURL: "http://relay.test"),
            revocations: MessageSending(writer: store.writer, readers: store.readers, loops: []))
        let clock = ManualMonotonicClock(1 << 40)
        try body(GatewayLimits(rates, clock: clock, directory: directory, alerts: nil), clock)
        await store.close()
    }

    private let principal = Principal(user: UserID(1), device: DeviceID(2), noLimits: false)

    /// The refused send never comes again: the connection is not held for ever.
    @Test func whatWasGivenUpHoldsNobodyForLong() async throws {
        var rates = RateLimits()
        rates.messagesPerDevice = 1
        try await withLimits(rates) { limits, clock in
            let allowance = try #require(limits.allowance(for: principal, nil))
            for number in 1...60 { #expect(allowance.refusal(of: UInt64(number)) == nil) }
            #expect(allowance.refusal(of: 61)?.retryAfter == .seconds(1))
            clock.advance(by: .seconds(1))
            #expect(allowance.refusal(of: 62)?.code == .rateLimited)
            clock.advance(by: Limits.rateOrderHeld)
            #expect(allowance.refusal(of: 62) == nil)
            #expect(allowance.refusal(of: 63) == nil)
        }
    }

    @Test func readsHaveABucketOfTheirOwn() async throws {
        var rates = RateLimits()
        rates.messagesPerDevice = 1
        try await withLimits(rates) { limits, clock in
            var allowance = try #require(limits.allowance(for: principal, nil))
            for _ in 1...60 { #expect(allowance.refusalOfRead() == nil) }
            let refusal = try #require(allowance.refusalOfRead())
            #expect(refusal.code == .rateLimited && refusal.retryAfter == .seconds(1))
            // Connecting again fills no bucket, another device of the user has its own, and messages go on.
            allowance = try #require(limits.allowance(for: principal, nil))
            #expect(allowance.refusalOfRead() != nil)
            let other = try #require(limits.allowance(for: Principal(user: UserID(1), device: DeviceID(3), noLimits: false), nil))
            #expect(other.refusalOfRead() == nil)
            for number in 1...60 { #expect(allowance.refusal(of: UInt64(number)) == nil) }
            clock.advance(by: .seconds(1))
            #expect(allowance.refusalOfRead() == nil)
            #expect(allowance.refusalOfRead() != nil)
            rates.messagesPerDevice = 0
            limits.rates.apply(rates)
            #expect(allowance.refusalOfRead() == nil)
        }
    }

    @Test func aReloadHoldsAtOnce() async throws {
        try await withLimits(RateLimits()) { limits, clock in
            let allowance = try #require(limits.allowance(for: principal, nil))
            for number in 1...60 { #expect(allowance.refusal(of: UInt64(number)) == nil) }
            var rates = RateLimits()
            rates.messagesPerDevice = 1
            limits.rates.apply(rates)
            // At the old rate the sixty took 1.2 seconds of a bucket that holds sixty seconds: 58 tokens are left.
            for number in 61...118 { #expect(allowance.refusal(of: UInt64(number)) == nil) }
            #expect(allowance.refusal(of: 119) != nil)
            rates.messagesPerDevice = 0
            rates.messagesPerUser = 0
            limits.rates.apply(rates)
            clock.advance(by: .seconds(1))
            for number in 119...100_000 { #expect(allowance.refusal(of: UInt64(number)) == nil) }
            #expect(limits.users.count == 1)
        }
    }

    /// A client that sends on and on, over a network that is slower than the wait: what is accepted keeps its order, and all of it is.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func theOrderHolds(seed: UInt64) async throws {
        print("ConnectionAllowanceTests.theOrderHolds seed \(seed)")
        var rates = RateLimits()
        rates.messagesPerDevice = 2
        try await withLimits(rates) { limits, clock in
            var generator = SeededGenerator(seed: seed)
            let allowance = try #require(limits.allowance(for: principal, nil))
            let count: UInt64 = 250
            var accepted: UInt64 = 0
            // The client goes back to the first one that was refused.
            var next: UInt64 = 1
            var silentUntil: Int64 = 0
            var there: [(at: Int64, number: UInt64)] = []
            var back: [(at: Int64, refused: UInt64, wait: Int64)] = []
            var steps = 0
            while accepted < count {
                steps += 1
                try #require(steps < 200_000, "no progress, seed \(seed)")
                let now = clock.nanoseconds()
                while let answer = back.first, answer.at <= now {
                    back.removeFirst()
                    next = min(next, answer.refused)
                    silentUntil = max(silentUntil, now + answer.wait)
                }
                let latency = Int64.random(in: 0...3_000_000_000, using: &generator)
                if now >= silentUntil, next <= count {
                    // One TCP connection: nothing overtakes.
                    there.append((max(now + latency, there.last?.at ?? 0), next))
                    next += 1
                }
                while let send = there.first, send.at <= now {
                    there.removeFirst()
                    if let refusal = allowance.refusal(of: send.number) {
                        let wait = try #require(refusal.retryAfter).nanoseconds
                        back.append((max(now + latency, back.last?.at ?? 0), send.number, wait))
                    } else if send.number > accepted {
                        #expect(send.number == accepted + 1, "seed \(seed)")
                        accepted = send.number
                    }
                }
                clock.advance(by: .milliseconds(Int64.random(in: 0...100, using: &generator)))
            }
        }
    }
}
