import Synchronization

/// Numbers from 0 on, each given once: what several workers share a list by. Any thread.
final class BenchTurns: Sendable {
    private let next = Mutex(0)
    private let count: Int

    init(_ count: Int) { self.count = count }

    /// Nil when all are given out.
    func take() -> Int? {
        next.withLock { next in
            guard next < count else { return nil }
            defer { next += 1 }
            return next
        }
    }
}
