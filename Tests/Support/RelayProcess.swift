import Foundation
import Synchronization

/// The real relayd on a temporary store. Started, killed and started again on the same store, port and sockets.
package final class RelayProcess: Sendable {
    package let directory: TemporaryDirectory
    package let port: Int
    /// Where it gives metrics, when asked for.
    package let metricsPort: Int
    /// Written beside each run, when asked for: `--record-commands`.
    package let recordPath: String?
    private let configuration: String
    private let scheme: String
    private let environment: [String: String]
    private let listening: [(name: String, descriptor: Int32)]

    private struct State {
        var running: Subprocess?
        var notify: NotifySocket?
        var earlierErrors = ""
    }
    private let state = Mutex(State())

    package var url: String { "\(scheme)://127.0.0.1:\(port)" }
    package var controlSocket: String { directory.file("control.sock") }
    package var storePath: String { directory.file("relay.db") }
    package var configurationPath: String { directory.file("relayd.toml") }

    /// - Parameters:
    ///   - limits: keys of the `[limits]` table.
    ///   - flags: more of them, that are true or false.
    ///   - everyoneIsContact: false: users ask before they write.
    ///   - metrics: listen for a Prometheus.
    ///   - recording: write every applied command to a file.
    ///   - environment: goes on top of the tests' own.
    ///   - onBlock: `leave` or `stay-hidden`.
    ///   - sections: more of the configuration file.
    ///   - listen: more keys of the `[listen]` table.
    ///   - tls: the certificate for TLS.
    ///   - unixSocket: where it listens instead of a port.
    ///   - offlineAfter: seconds, with a heartbeat every one.
    ///   - listening: sockets that relayd finds open, as those that systemd hands over.
    ///   - port: of another relay that has ended: clients find this one in its place.
    package init(
        limits: [String: Int] = [:], flags: [String: Bool] = [:], everyoneIsContact: Bool = true, metrics: Bool = false,
        recording: Bool = false, logLevel: String = "debug",
        directory: TemporaryDirectory? = nil,
        environment: [String: String] = [:], onBlock: String = "leave", tellsBlocked: Bool = true, sections: String = "",
        offlineAfter: Int? = nil, listen: String = "", tls: TestAuthority.Pair? = nil, unixSocket: String? = nil, port: Int? = nil,
        listening: [(name: String, descriptor: Int32)] = []
    ) throws {
        self.listening = listening
        let directory = try directory ?? TemporaryDirectory()
        self.directory = directory
        self.environment = environment
        let port = try port ?? FreePort.next()
        self.port = port
        metricsPort = metrics ? try FreePort.next() : 0
        recordPath = recording ? directory.file("commands") : nil
        scheme = tls == nil ? "http" : "https"
        configuration = """
            [listen]
            address = "\(unixSocket.map { "unix:\($0)" } ?? "127.0.0.1:\(port)")"
            public_url = "\(scheme)://127.0.0.1:\(port)"
            \(listen)

            [tls]
            certificate = "\(tls?.certificate ?? "")"
            key = "\(tls?.key ?? "")"

            [control]
            socket = "\(directory.file("control.sock"))"

            [store]
            path = "\(directory.file("relay.db"))"

            [contacts]
            everyone = \(everyoneIsContact)
            on_block = "\(onBlock)"
            tell_blocked = \(tellsBlocked)

            [metrics]
            listen = "\(metrics ? "127.0.0.1:\(metricsPort)" : "")"

            [limits]
            \(limits.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }.joined(separator: "\n"))
            \(flags.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }.joined(separator: "\n"))

            \(offlineAfter.map { "[presence]\nheartbeat = 1\noffline_after = \($0)" } ?? "")

            [log]
            level = "\(logLevel)"
            destination = "stderr"

            \(sections)
            """
        try configuration.write(toFile: directory.file("relayd.toml"), atomically: false, encoding: .utf8)
    }

    /// Starts relayd and waits until it says that it is ready.
    package func start() async throws {
        let notify = try NotifySocket(path: directory.file("notify.sock"))
        var environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        environment["NOTIFY_SOCKET"] = notify.path
        var arguments = ["--config", configurationPath]
        if let recordPath { arguments += ["--record-commands", recordPath] }
        let process: Subprocess
        if listening.isEmpty {
            process = try Subprocess(Programs.relayd, arguments, environment: environment)
        } else {
            environment["LISTEN_FDS"] = "\(listening.count)"
            environment["LISTEN_FDNAMES"] = listening.map(\.name).joined(separator: ":")
            // They are for the process with this number; only itself knows it before it begins.
            process = try Subprocess(
                "/bin/sh", ["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", Programs.relayd] + arguments, environment: environment,
                inheriting: listening.map(\.descriptor))
        }
        state.withLock {
            $0.running = process
            $0.notify = notify
        }
        do {
            try await notify.wait(for: "READY=1", from: process)
        } catch {
            process.send(SIGKILL)
            _ = await process.waitForExit()
            await process.standardError.waitForEnd()
            throw SupportFailure("\(error)\n\(process.standardError.text)")
        }
    }

    /// Waits until it tells the service manager this line (sd_notify(3)), skipping what it said before.
    package func says(_ line: String) async throws {
        let (process, notify) = state.withLock { ($0.running, $0.notify) }
        guard let process, let notify else { throw SupportFailure("relayd is not running") }
        try await notify.wait(for: line, from: process)
    }

    /// Waits for a line of its standard error; nil when it ended without one.
    package func line(containing text: String) async -> Substring? {
        await state.withLock { $0.running }?.standardError.line { $0.contains(text) }
    }

    package func send(_ signal: Int32) { state.withLock { $0.running }?.send(signal) }

    /// SIGKILL: it ends without a chance to finish anything. Throws what it said when it had crashed by itself: a test that went on would hide that.
    package func kill() async throws {
        guard let status = await stop(SIGKILL), status != .signalled(SIGKILL) else { return }
        throw SupportFailure("relayd had ended by itself, with \(status):\n\(standardError.suffix(20_000))")
    }

    /// SIGTERM: as systemd does it. Gives the exit status.
    @discardableResult package func terminate() async -> ExitStatus? { await stop(SIGTERM) }

    /// Waits until it ends by itself; gives how. One that does not is stopped after five minutes, which is then how it ended: a fault that never
    /// struck fails its test instead of stopping all of them.
    package func ended() async -> ExitStatus? {
        let patience = Task {
            try await Task.sleep(for: .seconds(300))
            state.withLock { $0.running }?.send(SIGTERM)
        }
        defer { patience.cancel() }
        return await stop(nil)
    }

    /// Ends every file at `bytes` from now on, as a quota does. Needs no rights: a program's own limit is lowered.
    package func limitFileSize(to bytes: Int) async throws {
        guard let processID else { throw SupportFailure("relayd is not running") }
        let result = try await Subprocess.run("prlimit", ["--pid", "\(processID)", "--fsize=\(bytes):"])
        guard result.status == .exited(0) else { throw SupportFailure("prlimit: \(result.standardError)") }
    }

    /// Bytes of resident memory, from proc(5)'s `statm`.
    package func residentBytes() throws -> Int {
        guard let processID else { throw SupportFailure("relayd is not running") }
        return try ProcessMemory.residentBytes(processID)
    }

    /// Waits for a line of the running relay's log; nil when it ends without one.
    package func line(where fits: @escaping @Sendable (Substring) -> Bool) async -> Substring? {
        await state.withLock { $0.running }?.standardError.line(where: fits)
    }

    package var processID: pid_t? { state.withLock { $0.running?.processID } }

    private func stop(_ signal: Int32?) async -> ExitStatus? {
        guard let process = state.withLock({ $0.running }) else { return nil }
        // Ended in the middle of it, it would leave the reporter behind, which holds its output open for ever.
        if let signal, !process.isReportingACrash { process.send(signal) }
        let status = await process.waitForExit()
        await process.standardError.waitForEnd()
        state.withLock {
            $0.earlierErrors += process.standardError.text
            $0.running = nil
            $0.notify = nil
        }
        return status
    }

    /// All that relayd wrote to its standard error so far, over all its runs.
    package var standardError: String { state.withLock { $0.earlierErrors + ($0.running?.standardError.text ?? "") } }

    package var chatctl: Chatctl { Chatctl(socket: controlSocket) }
    package var control: ControlSocket { ControlSocket(path: controlSocket) }
}

/// Ports below the range from which the kernel takes those of outgoing connections: a relay that was killed finds its own free again.
enum FreePort {
    private static let last = Mutex(20_000 + Int(getpid()) % 10_000)

    static func next() throws -> Int {
        for _ in 0..<2000 {
            let port = last.withLock { port in
                port = port >= 32_000 ? 20_000 : port + 1
                return port
            }
            if isFree(port) { return port }
        }
        throw SupportFailure("no free port between 20000 and 32000")
    }

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(INADDR_LOOPBACK).bigEndian
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        return bound == 0
    }
}
