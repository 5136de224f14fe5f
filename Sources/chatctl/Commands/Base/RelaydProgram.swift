import FoundationEssentials
import Glibc
import RelayControl

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

    /// What its configuration file says, with the defaults where it says nothing: for commands that work while relayd is stopped.
    /// - Parameters:
    ///   - path: nil: where relayd looks by itself.
    ///   - named: the program; nil: beside chatctl, or where packages put it.
    static func configuration(path: String?, program named: String?) throws(ProgramFailure) -> ConfigShow.Reply {
        guard let relayd = self.path(named) else { throw ProgramFailure(lines: ["the program relayd was not found: name it with --relayd"]) }
        let text = try output(relayd, (path.map { ["--config", $0] } ?? []) + ["--check-config", "--json"])
        guard let reply = try? JSONDecoder().decode(ConfigShow.Reply.self, from: Data(text.utf8)) else {
            throw ProgramFailure(lines: ["\(relayd) is of another version than this chatctl"])
        }
        return reply
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

extension ConfigShow.Reply {
    /// A key's value where that is text.
    func text(_ key: String) -> String? {
        if case .text(let text)? = options.first(where: { $0.name == key })?.value { text } else { nil }
    }
}
