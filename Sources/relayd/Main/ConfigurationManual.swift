import RelayControl

/// The part OPTIONS of relayd.toml(5), in mdoc(7). A test holds the page against it.
enum ConfigurationManual {
    /// From the heading to the line before the next one.
    static var options: String {
        var text = ".Sh OPTIONS\n"
        var section = ""
        for option in ConfigurationOption.all {
            if option.section != section {
                if !section.isEmpty { text += ".El\n" }
                section = option.section
                text += ".Ss [\(section)]\\&\n"
                text += sentences(ConfigurationOption.sectionTexts[section] ?? [])
                text += ".Bl -tag -width Ds\n"
            }
            text += ".It Li \(option.key) = \(escaped(option.standard.description))\n"
            text += sentences(option.documentation + [option.terms])
        }
        return text + ".El\n"
    }

    /// Each sentence begins a line, and no line is longer than 80 bytes, as mandoc wants it.
    private static func sentences(_ lines: [String]) -> String {
        var text = ""
        var line = ""
        func end() {
            // A control character at the beginning would make a macro of it.
            if !line.isEmpty { text += (line.hasPrefix(".") || line.hasPrefix("'") ? "\\&" : "") + line + "\n" }
            line = ""
        }
        for word in lines.joined(separator: " ").split(separator: " ") {
            let escaped = escaped(String(word))
            if line.utf8.count + 1 + escaped.utf8.count > 78 { end() }
            line += (line.isEmpty ? "" : " ") + escaped
            if word.hasSuffix(".") { end() }
        }
        end()
        return text
    }

    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            switch scalar {
            case "\\": "\\e"
            case "\"": "\\(dq"
            case _ where scalar.isASCII: String(scalar)
            default: "\\[u\(hexadecimal(scalar.value))]"
            }
        }.joined()
    }

    /// At least four digits.
    private static func hexadecimal(_ value: UInt32) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
