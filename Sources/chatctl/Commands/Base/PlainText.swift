/// Text for terminals and programs that take ASCII only: the signs that chatctl itself uses beyond it have a substitute each.
enum PlainText {
    /// The environment says that UTF-8 is not understood: see locale(7).
    static let isNeeded: Bool = {
        guard let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap({ environment($0) }).first else { return true }
        let name = locale.lowercased()
        return !name.contains("utf-8") && !name.contains("utf8")
    }()

    /// As it is shown: only what ``isNeeded`` asks for is replaced. Names and other text of people stay as they are but for these signs.
    static func shown(_ text: String) -> String { isNeeded ? of(text) : text }

    static func of(_ text: String) -> String {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
        return text.reduce(into: "") { shown, character in
            if let substitute = substitutes[character] { shown += substitute } else { shown.append(character) }
        }
    }

    private static let substitutes: [Character: String] = [
        "“": "\"", "”": "\"", "‘": "'", "’": "'", "→": "->", "…": "...", "—": "-", "–": "-", "±": "+-", "≤": "<=", "≥": ">=", "µ": "u", "×": "x",
        "·": ".", "█": "#", "ε": "eps", "Δ": "delta",
    ]
}
