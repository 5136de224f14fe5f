import Foundation
import RelayModel
import Testing

/// relayd-architecture(7) repeats what ARCHITECTURE.md, the manifest, the schema and the limits say. `UPDATE_GOLDEN=1` writes its lists anew.
@Suite(.serialized) struct ArchitecturePageTests {
    private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private var path: URL { root.appendingPathComponent("man/relayd-architecture.7") }
    private let architecture: Markdown

    init() throws { architecture = Markdown(try String(contentsOf: root.appendingPathComponent("ARCHITECTURE.md"), encoding: .utf8)) }

    /// Compares what stands between the marks of a list.
    private func expect(_ list: [String], between mark: String) throws {
        let begin = ".\\\" begin: \(mark)\n"
        let page = try String(contentsOf: path, encoding: .utf8)
        let start = try #require(page.range(of: begin)).upperBound
        let end = try #require(page.range(of: ".\\\" end: \(mark)\n")).lowerBound
        let expected = list.joined(separator: "\n") + "\n"
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
            try (page[..<start] + expected + page[end...]).write(to: path, atomically: true, encoding: .utf8)
        } else {
            #expect(String(page[start..<end]) == expected, "\(mark): UPDATE_GOLDEN=1 writes them anew")
        }
    }

    @Test func modulesAreThoseOfTheMap() throws {
        let rows = architecture.table(in: "Map").filter { $0[0] != "0" }
        try expect(
            [".Bl -tag -width Ds"]
                + rows.flatMap { row in
                    [".It Li \(row[1].code) Pq Pa \(row[2].code)"] + Manual.lines("Floor \(row[0]): \(row[3]).")
                } + [".El"], between: "modules")

        // And these are the manifest's.
        let manifest = try String(contentsOf: root.appendingPathComponent("Package.swift"), encoding: .utf8)
        var targets: [String: String] = [:]
        for found in manifest.matches(of: /module\(\s*"([A-Za-z]+)", "([A-Za-z\/]+)"/) { targets[String(found.output.1)] = String(found.output.2) }
        for found in manifest.matches(of: /\.executableTarget\(\s*name: "([a-z]+)"[^)]*path: "Sources\/([A-Za-z\/]+)"/) {
            targets[String(found.output.1)] = String(found.output.2)
        }
        #expect(targets.count > 20)
        #expect(Set(rows.map(\.[1].code)) == Set(targets.keys))
        for row in rows {
            let folder = row[2].code.replacing("Sources/", with: "")
            #expect(folder == targets[row[1].code] || folder.hasPrefix((targets[row[1].code] ?? "?") + "/"), "\(row[1]): \(folder)")
        }
    }

    @Test func threads() throws {
        try expect(
            [".Bl -tag -width Ds"]
                + architecture.table(in: "Threads and isolation").flatMap { row in
                    [".It \(Manual.head(row[0]))"] + Manual.lines("Owns: \(row[1]).") + Manual.lines("Reached by: \(row[2]).")
                } + [".El"], between: "threads")
    }

    @Test func promises() throws {
        try expect(
            [".Bl -enum"] + architecture.numbered(in: "What always holds").flatMap { [".It"] + Manual.lines($0) } + [".El"], between: "promises")
    }

    @Test func failures() throws {
        try expect(
            [".Bl -tag -width Ds"]
                + architecture.table(in: "What happens when something fails").flatMap { row in
                    [".It \(Manual.head(row[0]))"] + Manual.lines(row[1] + ".")
                        + (["—", "-"].contains(row[2]) ? [] : Manual.lines("Lost: \(row[2])."))
                } + [".El"], between: "failures")
    }

    @Test func words() throws {
        try expect(
            [".Bl -tag -width Ds -compact"]
                + architecture.table(in: "Words").flatMap { [".It \(Manual.head($0[0]))"] + Manual.lines($0[1] + ".") } + [".El"], between: "words")
    }

    @Test func tables() throws {
        let schema = Markdown(
            try String(contentsOf: root.appendingPathComponent("Sources/relayd/Storage/Schema.swift"), encoding: .utf8)
                .split(separator: "\n").filter { $0.hasPrefix("///") }.map { String($0.dropFirst(4)) }.joined(separator: "\n"))
        let rows = schema.table(in: nil)
        #expect(rows.count > 20)
        try expect(
            [".Bl -tag -width Ds -compact"]
                + rows.flatMap { row in
                    [".It Li \(row[0])"] + Manual.lines("\(row[2])" + (row[3] == "—" ? "." : ": \(row[3])."))
                } + [".El"], between: "tables")
    }

    @Test func theNumbersAreThoseInForce() throws {
        let page = try String(contentsOf: path, encoding: .utf8).replacing("\n", with: " ")
        for text in [
            "while \(Limits.sendsInFlight) sends of the connection wait", "up to 1,024 commands or \(Limits.writerBatchBytes >> 20) MiB",
            "after \(Limits.acknowledgementDelay.components.attoseconds / 1_000_000_000_000_000) ms",
            "\(Limits.drainPageEnvelopes) envelopes at a time",
        ] { #expect(page.contains(text), "\(text)") }
        #expect(Limits.writerBatch == 1024)
    }
}

/// The parts of a document that tests read.
private struct Markdown {
    private let lines: [Substring]

    init(_ text: String) { lines = text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// The lines below a heading, up to the next one; without a heading all of them.
    private func section(_ heading: String?) -> ArraySlice<Substring> {
        guard let heading else { return lines[...] }
        guard let start = lines.firstIndex(of: "## \(heading)") else { return [] }
        return lines[(start + 1)...].prefix { !$0.hasPrefix("## ") }
    }

    /// The rows of the section's table, without its head.
    func table(in heading: String?) -> [[String]] {
        section(heading).drop { !$0.hasPrefix("|") }.prefix { $0.hasPrefix("|") }.dropFirst(2)
            .map { $0.dropFirst().dropLast().components(separatedBy: " | ").map { $0.trimmingCharacters(in: .whitespaces) } }
    }

    func numbered(in heading: String) -> [String] {
        var items: [String] = []
        for line in section(heading) {
            if let found = line.wholeMatch(of: /[0-9]+\. (.*)/) {
                items.append(String(found.output.1))
            } else if line.hasPrefix("   "), !items.isEmpty {
                items[items.count - 1] += " " + line.trimmingCharacters(in: .whitespaces)
            }
        }
        return items
    }
}

extension String {
    /// Without the marks of code.
    fileprivate var code: String { replacing("`", with: "") }
}

/// Markdown's text as a manual page has it.
private enum Manual {
    /// For the head of a list's entry.
    static func head(_ text: String) -> String { "\"\(escaped(text.code).replacing("\"", with: "\\(dq"))\"" }

    /// A sentence a line, code as literals.
    static func lines(_ text: String) -> [String] {
        var lines: [String] = []
        var plain = ""
        func flush() {
            let text = plain.trimmingCharacters(in: .whitespaces)
            plain = ""
            guard !text.isEmpty else { return }
            // A sentence begins on a line of its own.
            let sentences = text.replacing(/([.!?]\)?) (?=[A-Z])/, with: { "\($0.output.1)\n" }).split(separator: "\n")
            for sentence in sentences { lines += wrapped(escaped(String(sentence))) }
        }
        var rest = text[...]
        while let open = rest.firstIndex(of: "`"), let close = rest[rest.index(after: open)...].firstIndex(of: "`") {
            plain += rest[..<open]
            let code = rest[rest.index(after: open)..<close]
            rest = rest[rest.index(after: close)...]
            // What touches the literal goes with it.
            let before = String(plain.reversed().prefix { $0 != " " }.reversed())
            plain.removeLast(before.count)
            flush()
            let after = rest.prefix { ",.;:)?!".contains($0) }
            rest = rest.dropFirst(after.count)
            var line = before.isEmpty ? ".Li " : ".Pf \\&\(escaped(before)) Li "
            line += escaped(String(code))
            for character in after { line += " \(character)" }
            let glued = rest.prefix { $0 != " " }
            if !glued.isEmpty { line += " Ns No " + escaped(String(glued)) }
            rest = rest.dropFirst(glued.count)
            lines.append(line)
        }
        plain += rest
        flush()
        return lines
    }

    private static func escaped(_ text: String) -> String {
        var text = text.replacing("\\", with: "\\e").replacing("—", with: "\\(em").replacing("…", with: "...").replacing("×", with: "\\(mu")
        if text.hasPrefix(".") || text.hasPrefix("'") { text = "\\&" + text }
        return text
    }

    /// Lines of a length that editors and comparisons like.
    private static func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= 80 { lines[lines.count - 1] += " \(word)" } else { lines.append(String(word)) }
        }
        return lines
    }
}
