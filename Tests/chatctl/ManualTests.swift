import ArgumentParser
import Foundation
import RelayControl
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// The man pages of chatctl and its help say the same, and both give examples that work.
@Suite struct ManualTests {
    private struct Leaf {
        var path: [String]
        var type: any ParsableCommand.Type
        var options: Set<String>
        var verb: String { path.joined(separator: " ") }

        init(path: [String], type: any ParsableCommand.Type) {
            self.path = path
            self.type = type
            // Made once: a help takes some milliseconds.
            options = Set(ChatctlCommand.helpMessage(for: type, columns: 200).matches(of: /--([a-z-]+)/).map { String($0.output.1) })
        }
    }

    private static let leaves = leaves(of: ChatctlCommand.self, path: [])

    /// All commands that do something, with the words that call them.
    private static func leaves(of command: any ParsableCommand.Type, path: [String]) -> [Leaf] {
        let configuration = command.configuration
        // Those of groups are among them.
        let children = configuration.subcommands
        guard !children.isEmpty else { return [Leaf(path: path, type: command)] }
        return children.flatMap { leaves(of: $0, path: path + [$0.configuration.commandName ?? ""]) }
    }

    private static func page(_ name: String) throws -> String {
        try String(contentsOfFile: Programs.repository + "/man/" + name, encoding: .utf8).replacing("\\e\n", with: " ")
    }

    private static func pages() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: Programs.repository + "/man").sorted() }

    @Test func everyNounHasAPageThatTheOverviewNames() throws {
        let nouns = Set(Self.leaves.map { $0.path[0] })
        let pages = Set(try Self.pages().filter { $0.hasPrefix("chatctl-") }.map { String($0.dropFirst("chatctl-".count).dropLast(".1".count)) })
        #expect(pages == nouns)
        let overview = try Self.page("chatctl.1")
        for noun in nouns { #expect(overview.contains(".It Xr chatctl-\(noun) 1\n"), "\(noun)") }
        for name in ControlOperationName.allCases { #expect(overview.contains("/v1/\(name.path)"), "/v1/\(name.path)") }
    }

    @Test func everyCommandAndOptionIsInItsPage() throws {
        let everywhere: Set<String> = ["socket", "json", "no-color", "version", "help"]
        for leaf in Self.leaves {
            let page = try Self.page("chatctl-\(leaf.path[0]).1")
            let item = page.split(separator: "\n").first { $0 == ".It Nm chatctl Cm \(leaf.verb)" || $0.hasPrefix(".It Nm chatctl Cm \(leaf.verb) ") }
            #expect(item != nil, "chatctl \(leaf.verb)")
            #expect(page.contains("\n.Nm chatctl Cm \(leaf.verb)"), "SYNOPSIS of chatctl \(leaf.verb)")
            for option in leaf.options.subtracting(everywhere) { #expect(page.contains("Fl -\(option)"), "\(leaf.verb) --\(option)") }
        }
    }

    @Test func noPageKnowsMoreThanTheProgram() throws {
        for name in try Self.pages() where name.hasPrefix("chatctl-") {
            for line in try Self.page(name).split(separator: "\n") {
                guard let item = line.wholeMatch(of: /\.(?:It )?Nm chatctl Cm (.*)/) else { continue }
                let words = item.output.1.prefix { $0 != "|" }.split(separator: " ").prefix { $0.wholeMatch(of: /[a-z-]+/) != nil }.map(String.init)
                let leaf = Self.leaves.filter { words.starts(with: $0.path) }.max { $0.path.count < $1.path.count }
                #expect(leaf != nil, "\(name): \(line)")
                for option in item.output.1.matches(of: /Fl -([a-z-]+)/).map({ String($0.output.1) }) {
                    #expect(leaf?.options.contains(option) == true, "\(name): \(line): --\(option)")
                }
            }
        }
    }

    @Test func everyHelpHasExamplesThatCanBeTyped() throws {
        for leaf in Self.leaves {
            let examples = leaf.type.configuration.discussion.split(separator: "\n").filter { $0.hasPrefix("  chatctl ") }
            #expect(!examples.isEmpty, "\(leaf.verb)")
            for example in examples { #expect(try Self.parse(example) == leaf.verb, "\(example)") }
        }
    }

    @Test func theExamplesOfThePagesCanBeTyped() throws {
        for name in try Self.pages() where name.hasPrefix("chatctl") {
            let page = try Self.page(name)
            let examples = try #require(page.range(of: ".Sh EXAMPLES\n"), "\(name)")
            let lines = page[examples.upperBound...].prefix(upTo: page.range(of: "\n.Sh SEE ALSO")?.lowerBound ?? page.endIndex)
                .split(separator: "\n").map { $0.replacing(".Dl ", with: "").replacing("\\(dq", with: "\"") }.filter { $0.hasPrefix("chatctl ") }
            #expect(!lines.isEmpty, "\(name)")
            for line in lines { #expect(throws: Never.self, "\(name): \(line)") { try Self.parse(line[...]) } }
        }
    }

    /// With the command alone a line says what it says with the tree of all of them.
    @Test func theExamplesAreTheSameToTheSmallTree() async throws {
        var seen = 0
        for leaf in Self.leaves {
            for example in leaf.type.configuration.discussion.split(separator: "\n") where example.hasPrefix("  chatctl ") {
                let arguments = Self.arguments(example)
                let path = CommandPath(arguments)
                guard path.children.isEmpty else { continue }
                seen += 1
                let one = try #require(await OneCommand.parsed(path), "\(example)")
                let whole = try ChatctlCommand.parseAsRoot(arguments)
                #expect(type(of: one) == type(of: whole) && "\(one)" == "\(whole)", "\(example)")
            }
        }
        #expect(seen >= Self.leaves.count - 2)
    }

    @Test(arguments: [
        [], ["user"], ["--version"], ["user", "list", "--version"], ["user", "list", "--help"], ["user", "list", "-h"], ["user", "help", "list"],
        ["help", "user", "list"], ["user", "list", "--nonsense"], ["user", "list", "x"], ["user", "lst"], ["--socket", "x", "user", "list"],
        ["user", "--socket", "x", "list"], ["user", "list", "--generate-completion-script", "bash"], ["user", "list", "--experimental-dump-help"],
        ["top", "--interval", "0s"], ["bench", "--pairs", "1"],
    ])
    func whatIsNoSingleCommandIsLeftToTheWholeTree(arguments: [String]) async {
        #expect(await OneCommand.parsed(CommandPath(arguments)).map { "\($0)" } == nil)
    }

    /// As a shell reads it, up to a pipe or a redirection; without the program's name.
    private static func arguments(_ line: Substring) -> [String] {
        Array(line.split(separator: /[|>]/)[0].matches(of: /"([^"]*)"|[^ "]+/).map { String($0.output.1 ?? $0.output.0) }.dropFirst())
    }

    /// The command that the line calls. Wrong usage is thrown.
    @discardableResult
    private static func parse(_ line: Substring) throws -> String {
        let command = try ChatctlCommand.parseAsRoot(arguments(line))
        return leaves.first { $0.type == type(of: command) }?.verb ?? ""
    }

    @Test func theErrorsAreThoseOfTheTable() throws {
        let rows = try Self.page("chatctl.1").matches(of: /\.It ([a-z_]+) Ta ([0-9]+) Ta ([0-9]+)\n/)
            .map { "\($0.output.1) \($0.output.2) \($0.output.3)" }
        let codes = ControlErrorCode.allCases.map { "\($0.rawValue) \($0.httpStatus) \($0.exitStatus)" }
        #expect(Set(rows) == Set(codes))
        #expect(rows.count == codes.count)
    }

    @Test func thePagesAreGoodManualPages() async throws {
        for name in try Self.pages() {
            let result = try await Subprocess.run("mandoc", ["-T", "lint", "-W", "warning", Programs.repository + "/man/" + name])
            #expect(result.0 == .exited(0), "\(result.1)\(result.2)")
        }
    }
}
