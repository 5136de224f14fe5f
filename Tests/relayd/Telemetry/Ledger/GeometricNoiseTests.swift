import Foundation
import RelayModel
import Testing

@testable import RelayTelemetry

/// Repeatable random bytes. Confined to one test.
final class SeededEntropy: Entropy, @unchecked Sendable {
    private var generator: SeededGenerator
    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }
    func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let value = generator.next()
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }
        return Array(bytes.prefix(count))
    }
}

@Suite struct GeometricNoiseTests {
    /// Draws against the exact probabilities. The seeds are fixed: that a right sampler fails has a chance of one in a hundred thousand, once.
    @Test(arguments: [(clamp: 1, epsilon: 300), (5, 200), (64, 200), (64, 100), (1, 100), (4, 100), (1, 1000), (7, 2000)])
    func drawsAreAsOftenAsTheyShouldBe(clamp: Int, epsilon: Int) {
        let noise = GeometricNoise(clamp: clamp, epsilonThousandths: epsilon, entropy: SeededEntropy(seed: UInt64(clamp) << 32 | UInt64(epsilon)))
        let count = 50_000
        var seen: [Int64: Int] = [:]
        for _ in 0..<count { seen[noise.draw(), default: 0] += 1 }
        let q = exp(-Double(epsilon) / 1000 / Double(clamp))
        func probability(_ value: Int64) -> Double { (1 - q) / (1 + q) * pow(q, Double(abs(value))) }
        // Each value by itself for as long as it is expected ten times; then both tails.
        var edge: Int64 = 0
        while probability(edge + 1) * Double(count) >= 10 { edge += 1 }
        var cells = (-edge...edge).map { (expected: probability($0) * Double(count), found: seen[$0, default: 0]) }
        let tail = pow(q, Double(edge + 1)) / (1 + q) * Double(count)
        cells.append((tail, seen.filter { $0.key > edge }.reduce(0) { $0 + $1.value }))
        cells.append((tail, seen.filter { $0.key < -edge }.reduce(0) { $0 + $1.value }))
        #expect(abs(cells.reduce(0) { $0 + $1.expected } - Double(count)) < 1e-6 * Double(count))
        let statistic = cells.reduce(0.0) { $0 + pow(Double($1.found) - $1.expected, 2) / $1.expected }
        // Wilson and Hilferty's approximation of the chi-square distribution's quantile at 1 - 1e-5.
        let degrees = Double(cells.count - 1)
        let critical = degrees * pow(1 - 2 / (9 * degrees) + 4.265 * sqrt(2 / (9 * degrees)), 3)
        #expect(statistic < critical, "\(statistic) of at most \(critical) with \(cells.count) cells")
    }

    /// Whatever comes out for n can come out for n + 1: no value tells which of the two it was.
    @Test func neighboursHaveTheSameSupport() {
        let noise = GeometricNoise(clamp: 1, epsilonThousandths: 1000, entropy: SeededEntropy(seed: 7))
        let draws = (0..<100_000).map { _ in noise.draw() }
        let (one, other) = (Set(draws.map { 10 + $0 }), Set(draws.map { 11 + $0 }))
        // All values that either is expected to give more than a hundred times.
        #expect((4...16).allSatisfy { one.contains($0) && other.contains($0) })
    }
}
