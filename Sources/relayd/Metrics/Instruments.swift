import RelayModel
import Synchronization

/// A number that only rises. Any thread: one relaxed addition, no lock, nothing allocated.
package final class Counter: Sendable {
    private let count = Atomic(0)

    package init() {}

    package func add(_ some: Int = 1) { count.add(some, ordering: .relaxed) }
    package var value: Int { count.load(ordering: .relaxed) }
}

/// A number that goes up and down, set when it was measured. Any thread.
package final class Gauge: Sendable {
    private let bits: Atomic<UInt64>

    /// - Parameter value: until it is set; not a number when there is none yet.
    package init(_ value: Double = 0) { bits = Atomic(value.bitPattern) }

    package func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    package func set(_ value: Int) { set(Double(value)) }
    package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
    /// Nil when there is none yet.
    package var known: Double? { value.isNaN ? nil : value }
}

/// A metric with one counter for each value of a label. Any thread.
package final class Counters<Label: MetricLabel>: Sendable where Label.AllCases == [Label] {
    private let counters: [Counter]
    private let places: [Label: Int]

    package init() {
        counters = Label.allCases.map { _ in Counter() }
        places = Dictionary(uniqueKeysWithValues: Label.allCases.enumerated().map { ($1, $0) })
    }

    package func add(_ label: Label, _ some: Int = 1) { if let place = places[label] { counters[place].add(some) } }
    package func value(_ label: Label) -> Int { places[label].map { counters[$0].value } ?? 0 }
}

/// A metric with one counter for each pair of two labels' values. Any thread.
package final class PairCounters<First: MetricLabel, Second: MetricLabel>: Sendable
where First.AllCases == [First], Second.AllCases == [Second] {
    private let counters: [First: Counters<Second>]

    package init() { counters = Dictionary(uniqueKeysWithValues: First.allCases.map { ($0, Counters()) }) }

    package func add(_ first: First, _ second: Second) { counters[first]?.add(second) }
    package func value(_ first: First, _ second: Second) -> Int { counters[first]?.value(second) ?? 0 }
}

/// How often values lay within fixed bounds, and their sum. Any thread: two relaxed additions, no lock, nothing allocated. What is read while
/// others record may have one value in the sum and not yet in its bucket.
package final class Histogram: Sendable {
    /// Where the buckets end, and what a value is divided by when it is shown.
    package struct Scale: Sendable, Equatable {
        /// Rising; a value belongs to the first bound that is not below it.
        package var bounds: [Int]
        package var divisor: Double

        /// Nanoseconds, shown in seconds: 1, 2, 5 and so on from 50 µs to 10 s.
        package static let durations = Scale(
            bounds: [
                50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000, 100_000_000, 200_000_000,
                500_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000, 10_000_000_000,
            ], divisor: 1_000_000_000)
        /// Powers of two up to the largest batch.
        package static let sizes = Scale(bounds: (0...10).map { 1 << $0 }, divisor: 1)
    }

    package let scale: Scale
    /// One more than bounds, for what is above all of them.
    private let buckets: [Counter]
    private let sum = Atomic(0)

    package init(_ scale: Scale) {
        self.scale = scale
        buckets = (0...scale.bounds.count).map { _ in Counter() }
    }

    package func record(_ value: Int) {
        var place = 0
        while place < scale.bounds.count, value > scale.bounds[place] { place += 1 }
        buckets[place].add()
        sum.wrappingAdd(value, ordering: .relaxed)
    }

    /// - Parameter nanoseconds: negative ones, of a clock that was read on two cores, count as zero.
    package func record(nanoseconds: Int64) { record(Int(max(0, nanoseconds))) }

    package var value: HistogramValue {
        HistogramValue(
            bounds: scale.bounds.map { Double($0) / scale.divisor }, counts: buckets.map(\.value),
            sum: Double(sum.load(ordering: .relaxed)) / scale.divisor)
    }
}

/// What a histogram has counted.
package struct HistogramValue: Sendable, Equatable {
    /// In the metric's unit.
    package var bounds: [Double]
    /// One for each bound, not added up, and one for what lies above.
    package var counts: [Int]
    package var sum: Double

    package init(bounds: [Double], counts: [Int], sum: Double) {
        self.bounds = bounds
        self.counts = counts
        self.sum = sum
    }

    package var count: Int { counts.reduce(0, +) }

    /// What came since `earlier`.
    package func since(_ earlier: HistogramValue) -> HistogramValue {
        HistogramValue(bounds: bounds, counts: zip(counts, earlier.counts).map { max(0, $0 - $1) }, sum: max(0, sum - earlier.sum))
    }

    /// The value below which the given part of all lies, as if they were spread evenly in their bucket; the highest bound when it lies above. Nil
    /// without values.
    package func quantile(_ part: Double) -> Double? {
        let total = count
        guard total > 0 else { return nil }
        let rank = part * Double(total)
        var below = 0
        for (index, bound) in bounds.enumerated() {
            if counts[index] > 0, Double(below + counts[index]) >= rank {
                let low = index == 0 ? 0 : bounds[index - 1]
                return low + (bound - low) * max(0, rank - Double(below)) / Double(counts[index])
            }
            below += counts[index]
        }
        return bounds.last
    }
}

/// Counts that would tell about single people are shown as the next power of two: 0, 1, 2, 4, 8, …
package enum SizeClass {
    package static func of(_ count: Int) -> Int {
        guard count > 1 else { return max(0, count) }
        guard count <= 1 << 62 else { return .max }
        return 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
    }
}
