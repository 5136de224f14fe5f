import Dispatch
import Glibc
import Synchronization

/// Runs a task, and those that belong to it, on the thread that waits for its end: a command that asks one question needs no pool of threads, whose
/// start takes longer than the question. Work for more than one processor prefers the pool (`globalConcurrentExecutor`). Any thread may hand it jobs.
///
/// An actor with an executor of its own is left by such a task at each await, even where a continuation is made: nothing may be taken for unchanged behind
/// one. (The runtime's `mustSwitchToRun` compares the preferred executor with that of the running job, which an actor's executor does not name.)
package final class CallingThread: TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var status: Int32?
    }

    private let state = Mutex(State())
    /// Counts the jobs that wait, and the end.
    private let news = DispatchSemaphore(value: 0)
    /// The thread that waits; 0: none does.
    private static let waiting = Atomic<UInt>(0)

    private init() {}

    /// Gives the exit status that the task gives.
    package static func run(_ body: @escaping @Sendable () async -> Int32) -> Int32 {
        let executor = CallingThread()
        waiting.store(pthread_self(), ordering: .relaxed)
        Task(executorPreference: executor) {
            let status = await body()
            executor.state.withLock { $0.status = status }
            executor.news.signal()
        }
        return executor.work()
    }

    /// The caller runs there: it may wait for relayd, for it keeps no thread of the pool from its work.
    static var isCurrent: Bool { waiting.load(ordering: .relaxed) == pthread_self() }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
        news.signal()
    }

    private func work() -> Int32 {
        while true {
            news.wait()
            let (job, status) = state.withLock { ($0.jobs.isEmpty ? nil : $0.jobs.removeFirst(), $0.status) }
            // What somebody left running keeps nobody.
            if let status { return status }
            job?.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}
