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

    /// What it prints on its standard output; throws what it says when it fails. What it says when it does not is left out.
    static func output(_ program: String, _ arguments: [String]) throws(ProgramFailure) -> String {
        let (output, errors) = (try ends(), try ends())
        defer { for end in [output.reading, errors.reading] { close(end) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, output.writing, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors.writing, STDERR_FILENO)
        let words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, program, &actions, nil, words, environ)
        for end in [output.writing, errors.writing] { close(end) }
        guard code == 0 else { throw ProgramFailure(lines: ["\(program) cannot be started: \(String(cString: strerror(code)))"]) }
        let bytes = everything(from: [output.reading, errors.reading])
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        let text = String(decoding: bytes[0], as: UTF8.self)
        guard status == 0 else {
            let said = String(decoding: bytes[1], as: UTF8.self) + text
            throw ProgramFailure(lines: said.split(separator: "\n").map { String($0.trimmingPrefix("relayd: ")) })
        }
        return text
    }

    /// A pipe that no other program inherits.
    private static func ends() throws(ProgramFailure) -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw ProgramFailure(lines: ["no pipe: \(String(cString: strerror(errno)))"]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Up to a mebibyte of each. All of them at the same time: who fills one while another is read waits for ever.
    private static func everything(from files: [Int32]) -> [[UInt8]] {
        var found: [[UInt8]] = files.map { _ in [] }
        var open = files.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var room = [UInt8](repeating: 0, count: 16 * 1024)
        while open.contains(where: { $0.fd >= 0 }) {
            guard poll(&open, nfds_t(open.count), -1) >= 0 else {
                if errno == EINTR { continue }
                return found
            }
            for index in open.indices where open[index].revents != 0 {
                let count = read(open[index].fd, &room, room.count)
                if count > 0 {
                    if found[index].count < 1 << 20 { found[index] += room[..<count] }
                } else if count == 0 || errno != EINTR {
                    // poll(2) passes over what is negative.
                    open[index].fd = -1
                }
            }
        }
        return found
    }
}

extension ConfigShow.Reply {
    /// A key's value where that is text.
    func text(_ key: String) -> String? {
        if case .text(let text)? = options.first(where: { $0.name == key })?.value { text } else { nil }
    }
}
