import NIOPosix
import RelayBackup
import RelayControl
import RelayModel
import Synchronization

/// Makes and reads backups beside the traffic, one at a time, on a thread of its own. Keeps nothing: what was begun is lost with the process, and leaves
/// no half file.
final class Backups: Sendable {
    enum Work: Sendable {
        case create
        case verify(String)
    }

    struct Finished: Sendable {
        var name: String
        var manifest: BackupManifest
        var findings: [String]
        var took: Duration
    }

    private struct State {
        var begun = 0
        var progress: BackupProgress?
        var ended: (number: Int, result: Result<Finished, BackupError>)?
        var stopping = false
    }

    let folder: BackupFolder
    private let store: String
    private let monotonic: any MonotonicClock
    private let state = Mutex(State())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    init(folder: BackupFolder, store: String, monotonic: any MonotonicClock = SystemMonotonicClock()) {
        self.folder = folder
        self.store = store
        self.monotonic = monotonic
        thread.start()
    }

    /// - Returns: the number to ask for.
    func begin(_ work: Work) throws(BackupError) -> Int {
        let number: Int? = state.withLock { state in
            guard state.progress == nil, !state.stopping else { return nil }
            state.begun += 1
            state.progress = BackupProgress(phase: work.phase, fraction: 0)
            return state.begun
        }
        guard let number else { throw .running }
        thread.submit { state in
            var result = Result<Finished, BackupError>.failure(.stopped)
            if case .active = state { result = self.perform(work) }
            self.state.withLock {
                $0.progress = nil
                $0.ended = (number, result)
            }
        }
        return number
    }

    private func perform(_ work: Work) -> Result<Finished, BackupError> {
        let began = monotonic.nanoseconds()
        func took() -> Duration { .nanoseconds(monotonic.nanoseconds() - began) }
        let isCancelled = { self.state.withLock { $0.stopping } }
        return Result { () throws(BackupError) in
            switch work {
            case .create:
                let (name, manifest) = try folder.create(
                    of: store, relayVersion: relayVersion, reason: .operation, monotonic: monotonic, isCancelled: isCancelled,
                    progress: { progress in self.state.withLock { $0.progress = progress } })
                return Finished(name: name, manifest: manifest, findings: [], took: took())
            case .verify(let name):
                let verdict = try folder.file(name).verify(
                    progress: { fraction in self.state.withLock { $0.progress = BackupProgress(phase: .checking, fraction: fraction) } },
                    isCancelled: isCancelled)
                return Finished(name: name, manifest: verdict.manifest, findings: verdict.findings, took: took())
            }
        }
    }

    /// One is under way.
    var isBusy: Bool { state.withLock { $0.progress != nil } }

    /// The progress of a run, or what became of it; neither: nobody knows it.
    func look(at number: Int) -> (progress: BackupProgress?, result: Result<Finished, BackupError>?) {
        state.withLock { state in
            if let ended = state.ended, ended.number == number { return (nil, ended.result) }
            return (state.begun == number ? state.progress : nil, nil)
        }
    }

    /// Ends what is under way before its next step.
    func stop() async {
        state.withLock { $0.stopping = true }
        try? await thread.shutdownGracefully()  // Fails only when it was shut down before.
    }
}

extension Backups.Work {
    fileprivate var phase: BackupProgress.Phase {
        switch self {
        case .create: .copying
        case .verify: .checking
        }
    }
}
