import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// What chatctl says to who does not know it yet: every failure says what happened and what to do next, on any terminal.
@Suite("Newcomers") struct NewcomerTests {
    /// What answers in place of relayd: hello, then always the same.
    private final class Impostor: Sendable {
        let path: String
        private let listening: ListeningSocket

        /// - Parameters:
        ///   - version: of the protocol, that it says it speaks.
        ///   - answer: status line and body to everything else; nil: it hangs up.
        init(_ directory: TemporaryDirectory, version: Int = controlProtocolVersion, answer: (status: String, body: String)?) throws {
            path = directory.file("impostor-\(UInt32.random(in: 0..<UInt32.max)).sock")
            let listening = try ListeningSocket(path: path)
            self.listening = listening
            Thread.detachNewThread {
                while true {
                    let connection = accept(listening.descriptor, nil, nil)
                    guard connection >= 0 else { return }
                    Self.serve(connection, version, answer)
                    close(connection)
                }
            }
        }

        func end() { shutdown(listening.descriptor, Int32(SHUT_RDWR)) }

        private static func serve(_ connection: Int32, _ version: Int, _ answer: (status: String, body: String)?) {
            var received = ""
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                // One request after the other, each with a body of a length that it says.
                while !isWhole(received) {
                    let count = read(connection, &buffer, buffer.count)
                    guard count > 0 else { return }
                    received += String(decoding: buffer[..<count], as: UTF8.self)
                }
                let isHello = received.hasPrefix("POST /v1/hello ")
                received = ""
                let hello = (status: "200 OK", body: "{\"protocolVersion\":\(version),\"relayVersion\":\"0.0.9\"}")
                guard let answer = isHello ? hello : answer else { return }
                let head = "HTTP/1.1 \(answer.status)\r\nContent-Type: application/json\r\nContent-Length: \(answer.body.utf8.count)\r\n\r\n"
                let reply = head + answer.body
                guard reply.withCString({ write(connection, $0, reply.utf8.count) }) == reply.utf8.count else { return }
            }
        }

        private static func isWhole(_ text: String) -> Bool {
            guard let end = text.range(of: "\r\n\r\n") else { return false }
            let length = text[..<end.lowerBound].lowercased().firstMatch(of: /content-length: *([0-9]+)/).flatMap { Int($0.output.1) } ?? 0
            return text[end.upperBound...].utf8.count >= length
        }
    }

    private func bash(_ command: String, _ environment: [String: String]) async throws -> Chatctl.Result {
        var environment = environment
        environment["PATH"] = Programs.directory + ":" + (environment["PATH"] ?? "/usr/bin:/bin")
        let (status, output, errors) = try await Subprocess.run("bash", ["-c", command], environment: environment)
        return Chatctl.Result(status: status, standardOutput: output, standardError: errors)
    }

    /// Runs a command on a terminal and gives what that shows.
    private func onTerminal(_ command: String, _ environment: [String: String]) async throws -> String {
        var environment = environment
        environment["TERM"] = "xterm"
        environment["PATH"] = Programs.directory + ":" + (environment["PATH"] ?? "/usr/bin:/bin")
        let result = try await Subprocess.run(
            "script", ["--quiet", "--return", "--command", command, "/dev/null"], environment: environment)
        #expect(result.status == .exited(0), "\(result)")
        return result.standardOutput.replacing("\r\n", with: "\n")
    }

    @Test(.timeLimit(.minutes(10))) func whatIsNoSocketIsCalledThat() async throws {
        let directory = try TemporaryDirectory()
        let file = directory.file("relayd.toml")
        try "x".write(toFile: file, atomically: false, encoding: .utf8)
        let long = "/" + String(repeating: "a", count: 107)
        for (path, status, says, hint) in [
            (file, 69, "is no socket", "--socket or $CHATCTL_SOCKET"), (long, 64, "longer than 107 bytes", "--socket or $CHATCTL_SOCKET"),
            (directory.file("none"), 69, "relayd is not running", "systemctl start relayd; where its socket is, [control] of relayd.toml says"),
        ] as [(String, Int32, String, String)] {
            let result = try await Chatctl(socket: path).run("user", "list")
            #expect(result.status == .exited(status) && result.standardError.contains(says), "\(result)")
            #expect(result.standardError.contains("chatctl: hint: ") && result.standardError.contains(hint), "\(result)")
        }
    }

    @Test(.timeLimit(.minutes(10))) func anotherVersionIsSaidToBeOne() async throws {
        let directory = try TemporaryDirectory()
        let same = "chatctl: hint: install relayd and chatctl of the same version, then: systemctl restart relayd\n"
        func said(_ body: String, _ status: String, version: Int = controlProtocolVersion) async throws -> Chatctl.Result {
            let impostor = try Impostor(directory, version: version, answer: (status, body))
            defer { impostor.end() }
            return try await Chatctl(socket: impostor.path).run("user", "list")
        }
        for (body, status, version, says) in [
            ("{}", "200 OK", controlProtocolVersion + 1, "relayd 0.0.9 speaks version \(controlProtocolVersion + 1)"),
            ("{}", "200 OK", controlProtocolVersion, "has another shape"),
            (
                #"{"code":"not_found","message":"there is no operation at /v1/user/list","hint":"x"}"#, "404 Not Found", controlProtocolVersion,
                "relayd 0.0.9 does not know what this chatctl \(relayVersion) asks of it"
            ),
            (
                #"{"code":"bad_request","message":"user/list: there is no field “limit”","hint":"x"}"#, "400 Bad Request", controlProtocolVersion,
                "relayd 0.0.9 does not know what this chatctl \(relayVersion) asks of it"
            ),
        ] {
            let result = try await said(body, status, version: version)
            #expect(result.status == .exited(69) && result.standardError.contains(says) && result.standardError.hasSuffix(same), "\(result)")
        }
        // A code that only later versions have: its words count.
        let later = try await said(#"{"code":"brand_new","message":"something new","hint":"do this"}"#, "418 Teapot")
        #expect(later.status == .exited(1) && later.standardError == "chatctl: error: something new\nchatctl: hint: do this\n", "\(later)")
    }

    @Test(.timeLimit(.minutes(10))) func aRelayThatEndsMeanwhileIsSaidToHave() async throws {
        let directory = try TemporaryDirectory()
        let impostor = try Impostor(directory, answer: nil)
        defer { impostor.end() }
        let result = try await Chatctl(socket: impostor.path).run("user", "list")
        #expect(result.status == .exited(69) && result.standardOutput.isEmpty, "\(result)")
        #expect(result.standardError.contains("closed the connection") && result.standardError.contains("journalctl -u relayd"), "\(result)")
    }

    @Test(.timeLimit(.minutes(10))) func outputThatCannotBeWritten() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let environment = relay.chatctl.environment
        for command in ["chatctl status >/dev/full", "chatctl --help >/dev/full", "chatctl user list --json >/dev/full"] {
            let result = try await bash(command, environment)
            #expect(result.status == .exited(1), "\(command): \(result)")
            #expect(result.standardError.contains("the standard output cannot be written: No space left on device"), "\(command): \(result)")
        }
        // Whoever reads has had enough: without a word, and it ends.
        let stream = try await bash("chatctl top --interval 1s | head -n 1; echo ${PIPESTATUS[@]}", environment)
        #expect(stream.standardOutput.hasSuffix("\n0 0\n") && stream.standardError.isEmpty, "\(stream)")
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func anyTerminalIsWideEnough() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        for name in ["alice", "bob"] { _ = try await relay.chatctl.addUser(name) }
        var environment = relay.chatctl.environment
        for columns in ["0", "1", "26", "39", "-5", "x"] {
            environment["COLUMNS"] = columns
            for command in ["chatctl user add --help", "chatctl user add", "relayd --help"] {
                let result = try await bash(command, environment)
                #expect([.exited(0), .exited(64)].contains(result.status), "\(columns): \(command): \(result)")
            }
        }
        environment["COLUMNS"] = nil
        #expect(try await onTerminal("stty rows 24 cols 5; chatctl user add --help; relayd --help", environment).contains("--display-name"))

        let wide = try await onTerminal("stty rows 24 cols 200; chatctl user list --no-color", environment)
        #expect(wide.split(separator: "\n").count == 3 && wide.hasPrefix("NAME   DISPLAY NAME"), "\(wide)")
        for columns in [40, 60] {
            let narrow = try await onTerminal("stty rows 24 cols \(columns); chatctl user list --no-color", environment)
            #expect(narrow.contains("NAME          alice\n") && narrow.contains("\n\nNAME          bob\n"), "\(narrow)")
            #expect(narrow.split(separator: "\n").allSatisfy { $0.count <= columns }, "\(narrow)")
        }
        // A QR code that does not fit is none.
        for (columns, fits) in [(30, false), (60, true)] {
            let invite = try await onTerminal("stty rows 24 cols \(columns); chatctl invite create alice --no-color", environment)
            #expect(invite.contains("█") == fits && invite.contains("widen the terminal") != fits, "\(invite)")
        }
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func coloursAreForTerminalsThatWantThem() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        var environment = relay.chatctl.environment
        environment["NO_COLOR"] = nil
        let escape = "\u{1B}["
        #expect(try await onTerminal("chatctl status", environment).contains(escape))
        #expect(try await !onTerminal("chatctl status --no-color", environment).contains(escape))
        #expect(try await !onTerminal("TERM=dumb chatctl status", environment).contains(escape))
        #expect(try await !relay.chatctl.run("status").standardOutput.contains(escape))
        environment["NO_COLOR"] = "1"
        for command in ["chatctl status", "chatctl invite list", "chatctl check --quick; true", "chatctl user show x; true"] {
            #expect(try await !onTerminal(command, environment).contains(escape), "\(command)")
        }
        await relay.terminate()
    }

    /// What chatctl itself says; names and messages are people's.
    @Test(.timeLimit(.minutes(10))) func theCLocaleGetsASCII() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        _ = try await relay.chatctl.addUser("alice")
        var environment = relay.chatctl.environment
        let commands = [
            "chatctl check --quick", "chatctl metrics people", "chatctl metrics budget", "chatctl metrics history", "chatctl metrics people --help",
            "chatctl invite create alice --qr", "chatctl user add 'a b'", "chatctl client send --help", "chatctl top --count 1",
            "chatctl backup verify nonsense", "chatctl user show nobody",
        ]
        for locale in ["C", "POSIX", "en_US.ISO-8859-1"] {
            environment["LC_ALL"] = locale
            for command in commands {
                let result = try await bash(command, environment)
                let beyond = (result.standardOutput + result.standardError).unicodeScalars.filter { !$0.isASCII }
                #expect(beyond.isEmpty, "\(locale): \(command): \(Set(beyond))")
            }
        }
        environment["LC_ALL"] = "C.UTF-8"
        #expect(try await bash("chatctl user add 'a b'", environment).standardError.contains("“"))
        #expect(try await bash("chatctl invite create alice --qr", environment).standardOutput.contains("█"))
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func aCommandThatThereIsNotIsSaid() async throws {
        let chatctl = Chatctl(socket: "/nonexistent/control.sock")
        let near = try await chatctl.run("user", "delete", "bob")
        #expect(near.status == .exited(64), "\(near)")
        #expect(
            near.standardError.hasPrefix(
                "chatctl: error: there is no command chatctl user delete\nchatctl: hint: did you mean: chatctl user remove bob\n"),
            "\(near)")
        #expect(near.standardError.contains("chatctl: hint: usage: chatctl user <subcommand>"), "\(near)")
        let option = try await chatctl.run("user", "list", "--jsn")
        #expect(option.standardError.contains("Did you mean '--json'"), "\(option)")
    }

    @Test(.timeLimit(.minutes(10))) func aRelayThatCannotStartSaysWhatToDo() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let second = try RelayProcess(directory: relay.directory, port: relay.port)
        func start(_ relay: RelayProcess, _ environment: [String: String] = [:]) async throws -> String {
            let result = try await Subprocess.run(
                Programs.relayd, ["--config", relay.configurationPath], environment: ProcessInfo.processInfo.environment.merging(environment) { $1 })
            #expect([.exited(1), .exited(78)].contains(result.status), "\(result)")
            return result.standardError
        }
        let taken = try await start(second)
        #expect(taken.contains("in use by another relayd") && taken.contains("stop the other one"), "\(taken)")
        await relay.terminate()

        let faults = try Preload.Faults(relay.directory)
        faults.arm(.full, .write)
        let full = try await start(second, faults.environment)
        #expect(full.contains("the store cannot be read or written") && full.contains("df -h says whether its disk is full"), "\(full)")
        let empty = try RelayProcess()
        let new = try await start(empty, faults.environment)
        #expect(new.contains("disk is full") && new.contains("free some space"), "\(new)")
        try Data(repeating: 0x41, count: 8192).write(to: URL(filePath: relay.storePath))
        for suffix in ["-wal", "-shm"] { unlink(relay.storePath + suffix) }
        let damaged = try await start(second)
        #expect(damaged.contains("file is not a database") && damaged.contains("chatctl backup restore"), "\(damaged)")

        let elsewhere = try TemporaryDirectory()
        let text = try String(contentsOfFile: relay.configurationPath, encoding: .utf8).replacing(
            relay.storePath, with: elsewhere.file("none/relay.db"))
        try text.write(toFile: relay.configurationPath, atomically: false, encoding: .utf8)
        let homeless = try await start(relay)
        #expect(homeless.contains("No such file or directory") && homeless.contains("install -d -m 700 -o relayd"), "\(homeless)")
    }

    /// Another user is told whose the store is, not that there is none.
    @Test(.timeLimit(.minutes(10)), .enabled(if: geteuid() == 0, "needs root to become another user"))
    func aRestoreByAnotherUser() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let scratch = try TemporaryDirectory()
        chmod(scratch.path, 0o755)
        let backup = scratch.file("copy.backup")
        #expect(try await relay.chatctl.run("backup", "create", "--to", backup).succeeded)
        chmod(backup, 0o644)
        await relay.terminate()
        // Where everybody may start it.
        #expect(try await Subprocess.run("cp", [Programs.chatctl, scratch.file("chatctl")]).status == .exited(0))
        chmod(scratch.file("chatctl"), 0o755)
        for verb in [["plan"], ["apply", "--plan", "0123-4567-89ab-cdef"]] {
            let result = try await Subprocess.run(
                "setpriv",
                ["--reuid", "65534", "--regid", "65534", "--clear-groups", scratch.file("chatctl"), "backup", "restore"] + verb
                    + [backup, "--store", relay.storePath])
            #expect(result.status == .exited(77), "\(result)")
            #expect(result.standardError.contains("may not be opened by this user"), "\(result)")
            #expect(result.standardError.contains("chatctl: hint: run it as root"), "\(result)")
        }
    }
}
