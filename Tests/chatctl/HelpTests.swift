import ArgumentParser
import Foundation
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// What `--help` says, of every command: one file for each noun, as it looks on 80 columns.
@Suite struct HelpTests {
    private static func children(of command: any ParsableCommand.Type) -> [any ParsableCommand.Type] {
        // Those of groups are among them.
        command.configuration.subcommands
    }

    /// What a person reads who types the words and `--help`.
    private static func help(_ words: [String]) throws -> String {
        do {
            var command = try ChatctlCommand.parseAsRoot(words + ["--help"])
            try command.run()
        } catch {
            return ChatctlCommand.fullMessage(for: error, columns: 80)
        }
        throw SupportFailure("chatctl \(words.joined(separator: " ")) --help shows no help")
    }

    private struct Entry {
        var words: [String]
        var command: any ParsableCommand.Type
        var help: String
    }

    /// Of a command and of those below it. Each takes the parser some tenths of a second: all of them are asked for once.
    private static func helps(_ command: any ParsableCommand.Type, _ words: [String]) throws -> [Entry] {
        try [Entry(words: words, command: command, help: help(words))]
            + children(of: command).flatMap { try helps($0, words + [$0.configuration.commandName ?? ""]) }
    }

    private static let all = Result { try helps(ChatctlCommand.self, []) }

    @Test func everyHelpIsAsItWas() throws {
        var files: [String: String] = [:]
        for entry in try Self.all.get() {
            let file = entry.words.first.map { "help-\($0).txt" } ?? "help.txt"
            files[file, default: ""] += "$ " + (["chatctl"] + entry.words).joined(separator: " ") + " --help\n" + entry.help + "\n\n"
        }
        #expect(files.count == 1 + Self.children(of: ChatctlCommand.self).count)
        for (file, text) in files { try Golden.compare(text, file) }
        // Of a noun that is gone, the file goes, too.
        let there = try FileManager.default.contentsOfDirectory(atPath: Programs.repository + "/Tests/chatctl/golden")
        #expect(Set(there.filter { $0.hasPrefix("help") }) == Set(files.keys))
    }

    /// What can be copied stands on one line, also on a terminal of 80 columns. A safety number is longer than that.
    @Test func noExampleIsBroken() throws {
        for entry in try Self.all.get() where entry.words != ["client", "safety", "verify"] {
            let lines = entry.help.split(separator: "\n")
            for example in entry.command.configuration.discussion.split(separator: "\n") where example.hasPrefix("  chatctl ") {
                #expect(lines.contains(example), "\(entry.words.joined(separator: " ")): \(example)")
            }
        }
    }
}
