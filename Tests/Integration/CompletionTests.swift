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
}
