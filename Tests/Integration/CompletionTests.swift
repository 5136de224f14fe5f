import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// What bash offers when Tab is pressed behind a half-typed line: the script that chatctl generates, in a real bash, with a real relay.
@Suite("Completions") struct CompletionTests {
    /// - Parameter line: words that were typed, the last of them begun or empty.
    private func offers(_ line: [String], _ relay: RelayProcess) async throws -> [String] {
        let script = relay.directory.file("completion.bash")
        let generated = try await relay.chatctl.run("--generate-completion-script", "bash")
        try generated.standardOutput.write(toFile: script, atomically: true, encoding: .utf8)
        let words = line.map { "'\($0)'" }.joined(separator: " ")
        let command = """
            PATH=\(URL(fileURLWithPath: Programs.chatctl).deletingLastPathComponent().path):$PATH
            . \(script)
            COMP_WORDS=(\(words)); COMP_CWORD=\(line.count - 1); COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
            function=$(complete -p chatctl); function=${function##*-F }; function=${function%% *}
            $function chatctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let result = try await Subprocess.run("bash", ["-c", command], environment: relay.chatctl.environment)
        #expect(result.0 == .exited(0), "\(result.2)")
        return result.1.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    }

    @Test(.timeLimit(.minutes(10))) func bashKnowsUsersAndDevices() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        for name in ["al", "alice", "alicia", "bob"] { _ = try await relay.chatctl.addUser(name) }
        #expect(try await offers(["chatctl", "user", "sh"], relay) == ["show"])
        #expect(try await offers(["chatctl", "user", "show", ""], relay) == ["al", "alice", "alicia", "bob"])
        #expect(try await offers(["chatctl", "user", "show", "al"], relay) == ["al", "alice", "alicia"])
        #expect(try await offers(["chatctl", "contact", "add", "alice", "b"], relay) == ["bob"])
        #expect(try await offers(["chatctl", "device", "list", "--user", "bo"], relay) == ["bob"])
        let link = try await relay.chatctl.addUser("carol").invite.link
        let enrolled = try await relay.chatctl.run("client", "enrol", link, "--device", "phone", "--state", relay.directory.file("phone"))
        #expect(enrolled.succeeded, "\(enrolled)")
        let device = try #require(try await relay.chatctl.devices().first).id.description
        #expect(try await offers(["chatctl", "device", "show", String(device.prefix(3))], relay) == [device])
        await relay.terminate()
        // Nobody answers: no names, no noise.
        #expect(try await offers(["chatctl", "user", "show", "al"], relay).isEmpty)
    }

    /// A shell on a terminal, in which a person types.
    private final class Terminal {
        private let relay: RelayProcess
        private let process: Subprocess
        private var lines = 0

        init(_ shell: String, _ arguments: String, _ relay: RelayProcess) throws {
            self.relay = relay
            var environment = relay.chatctl.environment
            environment["PATH"] = Programs.directory + ":" + (environment["PATH"] ?? "/usr/bin:/bin")
            environment["TERM"] = "xterm"
            // Nothing of the person who runs the tests.
            for name in ["HOME", "ZDOTDIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] { environment[name] = relay.directory.path }
            process = try Subprocess(
                "script", ["--quiet", "--return", "--command", "\(shell) \(arguments)", "/dev/null"], environment: environment, input: nil)
        }

        var text: String { process.standardOutput.text }

        /// Waits until the screen shows it.
        func shows(_ wanted: String, after place: Int = 0) async throws {
            while !text.dropFirst(place).contains(wanted) {
                guard process.isRunning else { throw SupportFailure("the shell ended without “\(wanted)”: \(text)") }
                await Task.yield()
            }
        }

        /// Types a line, and gives what the command wrote.
        func run(_ line: String) async throws -> String {
            lines += 1
            let (output, done) = (relay.directory.file("output\(lines)"), relay.directory.file("done\(lines)"))
            process.type("\(line)> \(output) 2>&1; touch \(done)")
            while access(done, F_OK) != 0 {
                guard process.isRunning else { throw SupportFailure("the shell ended: \(text)") }
                await Task.yield()
            }
            return try String(contentsOfFile: output, encoding: .utf8)
        }

        /// Types keys without a line's end.
        func type(_ keys: String) { process.type(keys, ending: "") }

        func end() async -> RelayTestSupport.ExitStatus {
            process.type("exit")
            return await process.waitForExit()
        }
    }

    /// What is typed with Tab is what the command gets: nouns, verbs, users and devices.
    /// - Parameter equals: between an option and its value; zsh's script knows a space only.
    private func typesWithTab(_ relay: RelayProcess, equals: String, _ start: () async throws -> Terminal) async throws {
        try await relay.start()
        for name in ["al", "alice", "alicia", "bob"] { _ = try await relay.chatctl.addUser(name) }
        let link = try await relay.chatctl.addUser("carol").invite.link
        let enrolled = try await relay.chatctl.run("client", "enrol", link, "--device", "phone", "--state", relay.directory.file("phone"))
        #expect(enrolled.succeeded, "\(enrolled)")
        let device = try #require(try await relay.chatctl.devices().first).id

        let shell = try await start()
        try await shell.shows("ready> ")
        func reply<Reply: Decodable>(_ line: String, as: Reply.Type = Reply.self) async throws -> Reply {
            let output = try await shell.run(line)
            do {
                return try JSONDecoder().decode(Reply.self, from: Data(output.utf8))
            } catch {
                throw SupportFailure("\(line): \(output)\non the terminal: \(shell.text)")
            }
        }
        #expect(try await reply("chatctl use\tsh\tb\t--json", as: UserRecord.self).name == "bob")
        #expect(try await reply("chatctl device show \(device.description.prefix(4))\t--json", as: DeviceRecord.self).id == device)
        #expect(try await reply("chatctl device list --user ca\t--json", as: DeviceList.Reply.self).devices.map(\.id) == [device])
        // The second argument, and the socket that stands on the line.
        _ = try await shell.run("export CHATCTL_SOCKET=/nonexistent ")
        let added: ContactAdd.Reply = try await reply("chatctl contact add --socket\(equals)\(relay.controlSocket) alice bo\t--reason test --json")
        #expect(added.user == "alice" && added.peer == "bob")
        _ = try await shell.run("export CHATCTL_SOCKET=\(relay.controlSocket) ")
        // Several: they are shown.
        let before = shell.text.count
        shell.type("chatctl user show al\t\t")
        try await shell.shows("alicia", after: before)
        #expect(!shell.text.dropFirst(before).contains("carol"))
        // Out of the list, and the line away.
        shell.type("\u{3}\u{15}")

        // Nobody answers: nothing is offered, and nothing is said but by the command.
        await relay.terminate()
        let said = try await shell.run("chatctl user show bo\t ")
        #expect(said.contains("relayd is not running"), "\(said)")
        #expect(!shell.text.contains("chatctl: "), "\(shell.text)")
        #expect(await shell.end() == .exited(0))
    }

    private static func isInstalled(_ shell: String) -> Bool { access("/usr/bin/\(shell)", X_OK) == 0 }

    @Test(.timeLimit(.minutes(10)), .enabled(if: isInstalled("zsh"), "zsh is not installed: apt-get install zsh"))
    func zshKnowsUsersAndDevices() async throws {
        let relay = try RelayProcess()
        try await typesWithTab(relay, equals: " ") {
            let generated = try await relay.chatctl.run("--generate-completion-script", "zsh")
            try generated.standardOutput.write(toFile: relay.directory.file("_chatctl"), atomically: true, encoding: .utf8)
            try "fpath=($ZDOTDIR $fpath); autoload -Uz compinit; compinit -u -D; PROMPT='ready> '\n".write(
                toFile: relay.directory.file(".zshrc"), atomically: true, encoding: .utf8)
            return try Terminal("zsh", "-d -i", relay)
        }
    }

    @Test(.timeLimit(.minutes(10)), .enabled(if: isInstalled("fish"), "fish is not installed: apt-get install fish"))
    func fishKnowsUsersAndDevices() async throws {
        let relay = try RelayProcess()
        try await typesWithTab(relay, equals: "=") {
            let script = relay.directory.file("chatctl.fish")
            let generated = try await relay.chatctl.run("--generate-completion-script", "fish")
            try generated.standardOutput.write(toFile: script, atomically: true, encoding: .utf8)
            return try Terminal("fish", "--no-config -i -C 'function fish_prompt; echo -n \"ready> \"; end; source \(script)'", relay)
        }
    }
}
