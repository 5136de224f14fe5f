import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Where a module gets time from that only runs forward: for rates and waits, which must not follow the wall clock when somebody sets it.
package protocol MonotonicClock: Sendable {
    /// Since some fixed moment. Any thread.
    func nanoseconds() -> Int64
}

/// CLOCK_MONOTONIC.
package struct SystemMonotonicClock: MonotonicClock {
    package init() {}

    package func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// A clock that stands still until it is told to move. For tests.
package final class ManualMonotonicClock: MonotonicClock {
    private let time: Mutex<Int64>

    package init(_ start: Int64 = 0) { time = Mutex(start) }

    package func nanoseconds() -> Int64 { time.withLock { $0 } }
    package func advance(by duration: Duration) { time.withLock { $0 += duration.nanoseconds } }
}

extension Duration {
    /// Whole nanoseconds, rounded towards zero. Up to 292 years.
    package var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
