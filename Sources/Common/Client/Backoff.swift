import RelayModel

/// How long to wait before the next attempt: up to `base`, doubled with each failure up to `ceiling`, and of that a random part ("full jitter"),
/// so that devices that lost the same relay do not come back together. A pure value.
package struct Backoff: Sendable, Equatable {
    package var base: Duration
    package var ceiling: Duration
    package private(set) var failures = 0

    package init(base: Duration = Limits.reconnectBase, ceiling: Duration = Limits.reconnectCeiling) {
        self.base = base
        self.ceiling = ceiling
    }

    /// The longest wait that the next failure can give.
    package var bound: Duration {
        var bound = base
        for _ in 0..<failures {
            guard bound < ceiling else { break }
            bound = bound * 2
        }
        return min(bound, ceiling)
    }

    /// One more failure: how long to wait now.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let wait = Backoff.jitter(upTo: bound, using: &generator)
        failures = min(failures + 1, 64)
        return wait
    }

    package mutating func succeeded() { failures = 0 }

    /// Any part of a span, to the millisecond.
    package static func jitter(upTo bound: Duration, using generator: inout some RandomNumberGenerator) -> Duration {
        .milliseconds(Int64.random(in: 0...max(0, bound.milliseconds), using: &generator))
    }
}
