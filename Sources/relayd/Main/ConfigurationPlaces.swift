/// Where a text sets which key. The TOML parser does not say; keys are simple here, so looking is enough.
struct ConfigurationPlaces {
    /// From 1; a column counts characters as the parser does (code points).
    struct Place: Equatable {
        var line: Int
        var column: Int
        /// Of the value; of a section the column of its name.
        var valueColumn: Int
    }

    /// A key or section that stands in the text a second time.
    struct Repetition {
        var name: String
        var place: Place
        var firstLine: Int
    }

    private var places: [String: Place] = [:]
    private(set) var repetitions: [Repetition] = []

    init(_ text: String) {
        var section = ""
        for (index, line) in TextLines.of(text).enumerated() {
            let content = line.content
            if content.hasPrefix("["), let end = content.firstIndex(of: "]") {
                section = Self.plain(content[..<end].dropFirst())
                note(section, index, line.column, line.column, isSet: true)
            } else if let equals = content.firstIndex(of: "="), !content.hasPrefix("#") {
                let key = Self.plain(content[..<equals])
                let behind = content[content.index(after: equals)...]
                let value = behind.firstIndex { $0 != " " && $0 != "\t" } ?? behind.endIndex
                let valueColumn = line.column + content[..<value].unicodeScalars.count
                note(section.isEmpty ? key : "\(section).\(key)", index, line.column, valueColumn, isSet: true)
                // A dotted key at the top opens its section, too.
                if section.isEmpty, let dot = key.firstIndex(of: ".") { note(String(key[..<dot]), index, line.column, valueColumn, isSet: false) }
            }
        }
    }

    /// Of the key, else of its section: a table may stand on one line.
    func place(of name: String) -> Place? { places[name] ?? name.firstIndex(of: ".").flatMap { places[String(name[..<$0])] } }

    private mutating func note(_ name: String, _ index: Int, _ column: Int, _ valueColumn: Int, isSet: Bool) {
        let place = Place(line: index + 1, column: column, valueColumn: valueColumn)
        if let first = places[name] {
            if isSet { repetitions.append(Repetition(name: name, place: place, firstLine: first.line)) }
        } else {
            places[name] = place
        }
    }

    private static func plain(_ text: Substring) -> String { String(text.filter { !" \t\"'[]\r".contains($0) }) }
}

/// A text's lines. By bytes: to Swift, CR LF is one character.
enum TextLines {
    /// - Returns: each line without its indentation, and the column in which the rest begins.
    static func of(_ text: String) -> [(content: Substring, column: Int)] {
        text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { bytes in
            let line = Substring(bytes)
            let content = line.drop { $0 == " " || $0 == "\t" || $0 == "\u{FEFF}" }
            // A byte order mark has no column.
            return (content, 1 + line[..<content.startIndex].unicodeScalars.count { $0 != "\u{FEFF}" })
        }
    }
}
