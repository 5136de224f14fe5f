import FoundationEssentials
import Glibc
import RelayControl
import RelayModel

/// What all checks start from: the relay, its configuration, and where its files are.
struct CheckSituation: Sendable {
    enum Relay: Sendable {
        case running(Status.Reply)
        case unreachable(ControlError)
    }

    var relay: Relay
    var control: ControlClient
    var socket: String
    /// In force; of the file when relayd does not answer. Nil: it is not known, ``configurationProblems`` say why.
    var configuration: ConfigShow.Reply?
    var configurationProblems: [String] = []
    /// Do what takes seconds, too: reading the store, and writing to the disk.
    var isThorough = true
    /// In front of the host's own paths such as `/proc` and `/etc`; tests put a directory there.
    var root = ""
    var now: Timestamp

    var status: Status.Reply? { if case .running(let status) = relay { status } else { nil } }

    func text(_ key: String) -> String? {
        if case .text(let text)? = configuration?.options.first(where: { $0.name == key })?.value { text } else { nil }
    }

    func number(_ key: String) -> Int? {
        if case .number(let number)? = configuration?.options.first(where: { $0.name == key })?.value { number } else { nil }
    }

    func flag(_ key: String) -> Bool? {
        if case .flag(let flag)? = configuration?.options.first(where: { $0.name == key })?.value { flag } else { nil }
    }

    var storePath: String? { text("store.path") }

    /// The user that relayd runs as; of a stopped one the owner of its store.
    var owner: uid_t? {
        if let status, let process = FileFacts("/proc/\(status.processID)") { return process.owner }
        if let storePath, let store = FileFacts(storePath) { return store.owner }
        return getpwnam("relayd")?.pointee.pw_uid
    }

    /// Whether this process may look at and write what belongs to relayd.
    var isTrusted: Bool { geteuid() == 0 || geteuid() == owner }

    /// Asks the relay, or the program when it does not answer.
    /// - Parameters:
    ///   - configurationPath: of a stopped relay; nil: where relayd looks by itself.
    ///   - program: relayd; nil: beside chatctl, or where packages put it.
    static func find(_ global: GlobalOptions, configurationPath: String?, program: String?, isThorough: Bool) async -> CheckSituation {
        let control = global.control
        var situation = CheckSituation(
            relay: .unreachable(ControlError(.failed, "")), control: control, socket: global.socketPath, isThorough: isThorough,
            now: SystemWallClock().now())
        do throws(ControlError) {
            situation.relay = .running(try await control.call(Status()))
            situation.configuration = try await control.call(ConfigShow())
            return situation
        } catch {
            situation.relay = .unreachable(error)
        }
        do throws(ProgramFailure) {
            guard let relayd = RelaydProgram.path(program) else {
                throw ProgramFailure(lines: ["the program relayd was not found: name it with --relayd"])
            }
            let text = try RelaydProgram.output(relayd, (configurationPath.map { ["--config", $0] } ?? []) + ["--check-config", "--json"])
            situation.configuration = try? JSONDecoder().decode(ConfigShow.Reply.self, from: Data(text.utf8))
            if situation.configuration == nil { throw ProgramFailure(lines: ["\(relayd) is of another version than this chatctl"]) }
        } catch {
            situation.configurationProblems = error.lines
        }
        return situation
    }
}

/// Why a program gave nothing: what it said.
struct ProgramFailure: Error {
    var lines: [String]
}

/// The daemon's program, for what it can say without running.
enum RelaydProgram {
    static func path(_ named: String?) -> String? {
        if let named { return named }
        let own = FileFacts.target(of: "/proc/self/exe").map { FileChecks.directory(of: $0) + "/relayd" }
        return ([own].compactMap(\.self) + ["/usr/sbin/relayd", "/usr/local/sbin/relayd", "/usr/bin/relayd"]).first { access($0, X_OK) == 0 }
    }

    /// What it prints on both outputs; throws that when it fails.
    static func output(_ program: String, _ arguments: [String]) throws(ProgramFailure) -> String {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw ProgramFailure(lines: ["no pipe: \(String(cString: strerror(errno)))"]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
        let words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, program, &actions, nil, words, environ)
        close(ends[1])
        guard code == 0 else { throw ProgramFailure(lines: ["\(program) cannot be started: \(String(cString: strerror(code)))"]) }
        var bytes: [UInt8] = []
        do throws(PrivacySkip) {
            try ScannedFile.read(descriptor: ends[0], program) { if bytes.count < 1 << 20 { bytes += $0 } }
        } catch { bytes += Array(error.reason.utf8) }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        let text = String(decoding: bytes, as: UTF8.self)
        guard status == 0 else { throw ProgramFailure(lines: text.split(separator: "\n").map { String($0.trimmingPrefix("relayd: ")) }) }
        return text
    }
}
