import RelayModel

/// So many tokens a second, and at most so many gathered.
struct Rate: Sendable, Equatable {
    /// Nanoseconds until the next token.
    let interval: Int64
    /// Nanoseconds that an empty bucket takes to be full: tokens × `interval`.
    let capacity: Int64

    /// - Parameters:
    ///   - tokens: what a full bucket holds, at least 1.
    ///   - interval: until the next token.
    init(tokens: Int, every interval: Duration) {
        self.interval = interval.nanoseconds
        capacity = self.interval * Int64(tokens)
    }

    /// Nil when nothing is limited. Made for each message: one division.
    /// - Parameters:
    ///   - perSecond: tokens; 0 means without limit. At most 1,000,000.
    ///   - burstSeconds: the bucket holds what gathers in this time; at least 1, at most an hour.
    init?(perSecond: Int, burstSeconds: Int = Limits.burstSeconds) {
        guard perSecond > 0 else { return nil }
        interval = 1_000_000_000 / Int64(perSecond)
        capacity = interval * Int64(perSecond) * Int64(burstSeconds)
    }
}

/// A token bucket as one number: the moment at which it will be full again. A pure value; the caller brings time and rate, so that a
/// change of the rate holds at once.
///
/// Times are nanoseconds of a ``MonotonicClock``. A bucket that was never touched is full.
struct TokenBucket: Sendable, Equatable {
    private(set) var fullAt = Int64.min

    func isFull(at now: Int64) -> Bool { fullAt <= now }

    /// How long until there is a token; zero when there is one.
    func wait(for rate: Rate, at now: Int64) -> Int64 {
        let missing = max(fullAt, now) - now
        return max(0, missing + rate.interval - rate.capacity)
    }

    /// Takes a token when there is one.
    /// - Returns: nil when it was taken, otherwise nanoseconds until there is one.
    mutating func take(_ rate: Rate, at now: Int64) -> Int64? {
        let wait = wait(for: rate, at: now)
        guard wait == 0 else { return wait }
        fullAt = max(fullAt, now) + rate.interval
        return nil
    }

    /// Gives back what ``take(_:at:)`` took. A bucket that was forgotten in between, and is new, stays full.
    mutating func putBack(_ rate: Rate) {
        let (before, overflows) = fullAt.subtractingReportingOverflow(rate.interval)
        fullAt = overflows ? .min : before
    }
}
