import Foundation
import Synchronization

/// How a program ended.
package enum ExitStatus: Sendable, Equatable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    fileprivate init(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .exited((waitStatus >> 8) & 0xff) : .signalled(signal)
    }

    /// By a signal that a program gets for a fault of its own.
    var isCrash: Bool { [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV].contains { self == .signalled($0) } }

    package var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .signalled(let signal): "signal \(signal)"
        }
    }
}

/// A running program with its output captured. Killed when nobody holds it any more. Any thread.
package final class Subprocess: Sendable {
    package let processID: pid_t
    package let standardOutput: Capture
    package let standardError: Capture
    private let exit = Exit()
    /// Where its input is written while that goes on.
    private let typing = Mutex<Int32?>(nil)

    /// Starts a program with exactly this environment; its descriptors 0, 1 and 2, and those from 3 on that are given, are the only ones it inherits.
    /// - Parameter input: all that it reads; nil: what is typed later (``type(_:)``).
    package init(
        _ program: String, _ arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment, input: [UInt8]? = [],
        inheriting: [Int32] = []
    ) throws {
        // One start at a time: a pipe closes on exec only from its second system call on, and a program that was started in
        // between would hold it open.
        Subprocess.brokenPipesAreErrors
        let (pid, stdin, stdout, stderr) = try Subprocess.starting.withLock { _ in
            try Subprocess.spawn(program, arguments, environment, inheriting)
        }
        processID = pid
        standardOutput = Capture(descriptor: stdout.reading)
        standardError = Capture(descriptor: stderr.reading)
        let inputDescriptor = stdin.writing
        if let input {
            Thread.detachNewThread {
                // A program that does not read its input closes the pipe; that is its right.
                FileHandle(fileDescriptor: inputDescriptor, closeOnDealloc: false).writeIgnoringErrors(input)
                close(inputDescriptor)
            }
        } else {
            typing.withLock { $0 = inputDescriptor }
        }
        let exit = self.exit
        let errors = standardError
        exit.whenEnded { status in
            // The test sees a closed connection at most.
            guard status.isCrash else { return }
            Task {
                await errors.waitForEnd()
                print("\(program) crashed with \(status):\n\(errors.text.suffix(20_000))")
            }
        }
        Thread.detachNewThread {
            var info = siginfo_t()
            // First wait without reaping, so that the number cannot belong to another process while `send` uses it.
            while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) == -1, errno == EINTR {}
            exit.reap(pid)
        }
    }

    /// A program that ends before it has read its input must fail a write here, not end the tests by SIGPIPE without a word. NIO ignores the
    /// signal only once it has opened a socket. Programs that are started get it as usual.
    private static let brokenPipesAreErrors: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

    fileprivate static let starting = Mutex(())

    private static func spawn(
        _ program: String, _ arguments: [String], _ environment: [String: String], _ inheriting: [Int32]
    ) throws -> (pid_t, stdin: Channel, stdout: Channel, stderr: Channel) {
        let stdin = try Channel()
        let stdout = try Channel()
        let stderr = try Channel()

        // In glibc since 2.34, but hidden from Swift by its headers.
        typealias CloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
        let closeFrom = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np").map { unsafeBitCast($0, to: CloseFrom.self) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, stdin.reading, 0)
        posix_spawn_file_actions_adddup2(&actions, stdout.writing, 1)
        posix_spawn_file_actions_adddup2(&actions, stderr.writing, 2)
        // Out of the way of the places that they get.
        let copies = inheriting.map { fcntl($0, F_DUPFD_CLOEXEC, 100) }
        defer { for copy in copies { close(copy) } }
        for (index, copy) in copies.enumerated() { posix_spawn_file_actions_adddup2(&actions, copy, 3 + Int32(index)) }
        // Sockets of tests that run beside this one must not be held open here: whoever waits for their end would wait for ours.
        _ = closeFrom?(&actions, 3 + Int32(copies.count))

        // The test process ignores or blocks signals that the program must see as usual.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
        argv.append(nil)
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") }
        envp.append(nil)
        defer { (argv + envp).forEach { free($0) } }

        var pid = pid_t()
        let code = posix_spawnp(&pid, program, &actions, &attributes, argv, envp)
        close(stdin.reading)
        close(stdout.writing)
        close(stderr.writing)
        guard code == 0 else {
            close(stdin.writing)
            close(stdout.reading)
            close(stderr.reading)
            throw SupportFailure("starting \(program): \(String(cString: strerror(code)))")
        }

        return (pid, stdin, stdout, stderr)
    }

    deinit {
        exit.signal(SIGKILL, to: processID)
        endInput()
    }

    /// Writes a line of input. For a program that was started without one.
    package func type(_ line: String, ending: String = "\n") {
        typing.withLock { descriptor in
            if let descriptor { FileHandle(fileDescriptor: descriptor, closeOnDealloc: false).writeIgnoringErrors(Array((line + ending).utf8)) }
        }
    }

    /// The program reads the end of its input.
    package func endInput() {
        typing.withLock { descriptor in
            if let descriptor { close(descriptor) }
            descriptor = nil
        }
    }

    /// Does nothing when the program has ended.
    package func send(_ signal: Int32) { exit.signal(signal, to: processID) }

    package func waitForExit() async -> ExitStatus { await exit.wait() }

    package var isRunning: Bool { exit.isRunning }

    /// A Swift program that has crashed starts another one, `swift-backtrace`, which says where, and ends when that is done.
    var isReportingACrash: Bool {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(processID)/task")) ?? []
        let children = threads.flatMap { thread in
            // proc_pid_task(5): every thread lists the processes that it made.
            (try? String(contentsOfFile: "/proc/\(processID)/task/\(thread)/children", encoding: .utf8))?.split(whereSeparator: \.isWhitespace) ?? []
        }
        return children.contains { (try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8))?.hasPrefix("swift-backtrac") == true }
    }

    /// Runs a program to its end.
    package static func run(
        _ program: String, _ arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment, input: [UInt8] = []
    ) async throws -> (status: ExitStatus, standardOutput: String, standardError: String) {
        let process = try Subprocess(program, arguments, environment: environment, input: input)
        let status = await process.waitForExit()
        await process.standardOutput.waitForEnd()
        await process.standardError.waitForEnd()
        return (status, process.standardOutput.text, process.standardError.text)
    }

    /// A descriptor that poll(2) reports (POLLHUP) once the program has ended. The caller closes it.
    func descriptorThatHangsUpAtExit() throws -> Int32 {
        let channel = try Subprocess.starting.withLock { _ in try Channel() }
        exit.whenEnded { _ in close(channel.writing) }
        return channel.reading
    }
}

extension FileHandle {
    fileprivate func writeIgnoringErrors(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        do { try write(contentsOf: bytes) } catch { return }
    }
}

/// A pipe; both ends close on exec. Made while `Subprocess.starting` is held.
private struct Channel {
    let reading: Int32
    let writing: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw SupportFailure.system("making a pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reading = ends[0]
        writing = ends[1]
    }
}

private final class Exit: Sendable {
    private struct State {
        var status: ExitStatus?
        var waiters: [@Sendable (ExitStatus) -> Void] = []
    }
    private let state = Mutex(State())

    var isRunning: Bool { state.withLock { $0.status == nil } }

    func reap(_ pid: pid_t) {
        let (status, waiters) = state.withLock { state in
            var raw: Int32 = 0
            while waitpid(pid, &raw, 0) == -1, errno == EINTR {}
            let status = ExitStatus(waitStatus: raw)
            state.status = status
            defer { state.waiters = [] }
            return (status, state.waiters)
        }
        for waiter in waiters { waiter(status) }
    }

    func signal(_ signal: Int32, to pid: pid_t) {
        state.withLock { if $0.status == nil { kill(pid, signal) } }
    }

    func wait() async -> ExitStatus {
        await withCheckedContinuation { continuation in whenEnded { continuation.resume(returning: $0) } }
    }

    /// Called once it has ended, at once when it has.
    func whenEnded(_ waiter: @escaping @Sendable (ExitStatus) -> Void) {
        let ended = state.withLock { state -> ExitStatus? in
            if state.status == nil { state.waiters.append(waiter) }
            return state.status
        }
        if let ended { waiter(ended) }
    }
}

/// Everything that a program wrote to one descriptor so far. Any thread.
package final class Capture: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var ended = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Mutex(State())

    fileprivate init(descriptor: Int32) {
        Thread.detachNewThread { [self] in
            var buffer = [UInt8](repeating: 0, count: 16 * 1024)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                if count == -1, errno == EINTR { continue }
                change { state in
                    if count > 0 { state.bytes += buffer[..<count] } else { state.ended = true }
                }
                if count <= 0 { break }
            }
            close(descriptor)
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let waiters = state.withLock { state in
            body(&state)
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    package var bytes: [UInt8] { state.withLock { $0.bytes } }
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    package func waitForEnd() async { while await growth(beyond: .max) {} }

    /// The first complete line that fits, waiting for it as long as the program writes; nil when it ended without one.
    package func line(where fits: @Sendable (Substring) -> Bool) async -> Substring? {
        while true {
            let bytes = self.bytes
            let complete = bytes.prefix(bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0)
            if let line = String(decoding: complete, as: UTF8.self).split(separator: "\n").first(where: fits) { return line }
            if !(await growth(beyond: bytes.count)) { return nil }
        }
    }

    /// Waits until there is more than `count` bytes or a change of any kind; false at the end of the output.
    private func growth(beyond count: Int) async -> Bool {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> Bool in
                if state.ended || state.bytes.count > count { return true }
                state.waiters.append(continuation)
                return false
            }
            if now { continuation.resume() }
        }
        return state.withLock { !$0.ended || $0.bytes.count > count }
    }
}
