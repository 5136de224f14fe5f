import Glibc
import RelayTLS
import TOMLKit

/// Something wrong in a configuration file.
struct ConfigurationProblem: Error, Sendable, Equatable, CustomStringConvertible {
    var file: String
    /// Nil when it belongs to no line.
    var line: Int?
    var message: String

    var description: String { line.map { "\(file):\($0): \(message)" } ?? "\(file): \(message)" }
}

/// Everything that is wrong with a configuration, in the order of the lines.
struct ConfigurationProblems: Error, Sendable, Equatable {
    var problems: [ConfigurationProblem]
}

/// A configuration file that was read and checked.
struct ConfigurationFile: Sendable {
    var configuration: Configuration
    /// Names of the options that the file sets, with the lines on which it does.
    var lines: [String: Int]

    /// Larger ones are not configuration.
    private static let bytesCeiling = 1 << 20

    /// Reads a file. A missing one means the defaults, unless the operator named it.
    static func load(path: String, named: Bool) throws(ConfigurationProblems) -> ConfigurationFile {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT, !named { return ConfigurationFile(configuration: Configuration(), lines: [:]) }
            throw one(path, "it cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0 { throw one(path, "it cannot be read: \(String(cString: strerror(errno)))") }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= bytesCeiling else { throw one(path, "it is larger than \(bytesCeiling) bytes") }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw one(path, "it is not UTF-8 text") }
        return try parse(text, path: path)
    }

    /// Checks a text against ``ConfigurationOption/all``; reports all that is wrong, not only the first.
    static func parse(_ text: String, path: String) throws(ConfigurationProblems) -> ConfigurationFile {
        let table: TOMLTable
        if let line = SectionNames.firstWrong(in: text) {
            throw one(path, "it is not TOML: a section's name must begin with a letter, a digit, “_”, “-” or a quotation mark", line: line)
        }
        if let line = MisplacedBraces.firstLine(in: text) { throw one(path, "it is not TOML: a value is missing before “}”", line: line) }
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw one(path, "it is not TOML: \(error.description)", line: error.source.begin.line)
        } catch {
            throw one(path, "it is not TOML: \(error)")
        }
        let places = KeyLines(text)
        var result = ConfigurationFile(configuration: Configuration(), lines: [:])
        var problems: [ConfigurationProblem] = []
        func report(_ name: String, _ message: String) {
            problems.append(ConfigurationProblem(file: path, line: places.line(of: name), message: message))
        }
        for section in table.keys {
            let options = ConfigurationOption.all.filter { $0.section == section }
            guard !options.isEmpty else {
                let isTable = table[section]?.table != nil
                report(
                    section, "there is no \(isTable ? "section [\(section)]" : "key \(section)")\(suggestion(for: section, sectionsOnly: isTable))")
                continue
            }
            guard let keys = table[section]?.table else {
                report(section, "\(section) must be a section, written [\(section)]")
                continue
            }
            for key in keys.keys {
                let name = "\(section).\(key)"
                guard let option = options.first(where: { $0.key == key }) else {
                    report(name, "there is no key \(name)\(suggestion(for: name, sectionsOnly: false))")
                    continue
                }
                guard let raw = keys[key], let value = ConfigurationValue(raw), option.write(&result.configuration, value) else {
                    report(name, "\(name) must be \(option.allowed), not \(keys[key].map(shown) ?? "nothing")")
                    continue
                }
                result.lines[name] = places.line(of: name) ?? 0
            }
        }
        let configuration = result.configuration
        if problems.isEmpty, configuration.tls.certificate.isEmpty != configuration.tls.key.isEmpty {
            let (there, missing) = configuration.tls.key.isEmpty ? ("certificate", "key") : ("key", "certificate")
            report("tls.\(there)", "tls.\(there) is named, and tls.\(missing) is not: TLS takes both")
        }
        if problems.isEmpty, !configuration.listenAddress.isLoopback, !configuration.allowPlaintext, !configuration.speaksTLS {
            report(
                "listen.address",
                "other hosts can connect to \(configuration.listenAddress), and without TLS others can listen: name tls.certificate and tls.key, listen on "
                    + "127.0.0.1 behind a proxy that speaks TLS, or, in a network that is trusted, set listen.allow_plaintext = true")
        }
        if problems.isEmpty, configuration.speaksTLS, configuration.publicURL.hasPrefix("http://") {
            report("listen.public_url", "listen.public_url begins with http://, but clients connect with TLS: write https://")
        }
        if problems.isEmpty, configuration.listenAddress.unixPath != nil, configuration.publicURL.isEmpty {
            report("listen.address", "a Unix socket is no address for clients: name the proxy's with listen.public_url")
        }
        if problems.isEmpty, result.configuration.offlineAfterSeconds < 2 * result.configuration.heartbeatSeconds {
            report(
                result.lines["presence.offline_after"] == nil ? "presence.heartbeat" : "presence.offline_after",
                "presence.offline_after is \(result.configuration.offlineAfterSeconds), which is less than two heartbeats of "
                    + "\(result.configuration.heartbeatSeconds) seconds: users would seem to come and go")
        }
        guard problems.isEmpty else {
            throw ConfigurationProblems(problems: problems.sorted { ($0.line ?? 0, $0.message) < ($1.line ?? 0, $1.message) })
        }
        return result
    }

    private static func one(_ path: String, _ message: String, line: Int? = nil) -> ConfigurationProblems {
        ConfigurationProblems(problems: [ConfigurationProblem(file: path, line: line, message: message)])
    }

    private static func shown(_ value: any TOMLValueConvertible) -> String {
        switch value.type {
        case .string, .int, .bool: ConfigurationValue(value)?.description ?? "that"
        case .double: "a number with a fraction"
        case .array: "a list"
        case .table: "a section"
        default: "a date or time"
        }
    }

    /// `; did you mean …?` when a known name is near.
    private static func suggestion(for name: String, sectionsOnly: Bool) -> String {
        let candidates: [(name: String, distance: Int)] =
            sectionsOnly
            ? Set(ConfigurationOption.all.map(\.section)).sorted().map { ($0, EditDistance.between(name, $0)) }
            : ConfigurationOption.all.map { option in
                let key = name.split(separator: ".").last.map(String.init) ?? name
                return (option.name, min(EditDistance.between(name, option.name), EditDistance.between(key, option.key)))
            }
        guard let nearest = candidates.min(by: { $0.distance < $1.distance }), nearest.distance <= max(2, name.count / 3) else {
            return sectionsOnly ? ": the sections are \(candidates.map { "[\($0.name)]" }.joined(separator: ", "))" : ""
        }
        return "; did you mean \(sectionsOnly ? "[\(nearest.name)]" : nearest.name)?"
    }
}

extension ConfigurationValue {
    init?(_ value: any TOMLValueConvertible) {
        switch value.type {
        case .string:
            guard let text = value.string else { return nil }
            self = .text(text)
        case .int:
            guard let number = value.int else { return nil }
            self = .number(number)
        case .bool:
            guard let flag = value.bool else { return nil }
            self = .flag(flag)
        default: return nil
        }
    }
}

/// A text's lines without their indentation. By bytes: to Swift, CR LF is one character.
private enum TextLines {
    static func of(_ text: String) -> [Substring] {
        text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
            Substring(line).drop { $0 == " " || $0 == "\t" || $0 == "\u{FEFF}" }
        }
    }
}

/// The parser (toml++ 3.x) asserts, instead of checking, that a section's name begins with a character of a key; in a release build its
/// compiler then relies on it. So it is checked here. That also refuses lists that span lines, which no option takes.
private enum SectionNames {
    static func firstWrong(in text: String) -> Int? {
        TextLines.of(text).firstIndex { line in
            guard line.hasPrefix("[") else { return false }
            let opened = line.dropFirst()
            let name = (opened.hasPrefix("[") ? opened.dropFirst() : opened).drop { $0 == " " || $0 == "\t" }
            guard let first = name.unicodeScalars.first else { return true }
            switch first {
            case "a"..."z", "A"..."Z", "0"..."9", "_", "-", "\"", "'", "]": return false
            default: return true
            }
        }.map { $0 + 1 }
    }
}

/// On which line a text sets which key. The TOML parser does not say; keys are simple here, so looking is enough.
private struct KeyLines {
    private var lines: [String: Int] = [:]

    init(_ text: String) {
        var section = ""
        for (index, line) in TextLines.of(text).enumerated() {
            if line.hasPrefix("["), let end = line.firstIndex(of: "]") {
                section = KeyLines.plain(line[..<end].dropFirst())
                note(section, index)
            } else if let equals = line.firstIndex(of: "="), !line.hasPrefix("#") {
                let key = KeyLines.plain(line[..<equals])
                note(section.isEmpty ? key : "\(section).\(key)", index)
                // A dotted key at the top opens its section, too.
                if section.isEmpty, let dot = key.firstIndex(of: ".") { note(String(key[..<dot]), index) }
            }
        }
    }

    func line(of name: String) -> Int? { lines[name] }

    private mutating func note(_ name: String, _ index: Int) {
        if lines[name] == nil { lines[name] = index + 1 }
    }

    private static func plain(_ text: Substring) -> String { String(text.filter { !" \t\"'[]\r".contains($0) }) }
}

/// How many characters must be put in, taken out or changed to make one text of another (Levenshtein).
enum EditDistance {
    static func between(_ left: String, _ right: String) -> Int {
        let left = Array(left)
        let right = Array(right)
        var row = Array(0...right.count)
        for i in left.indices {
            var diagonal = row[0]
            row[0] = i + 1
            for j in right.indices {
                let change = diagonal + (left[i] == right[j] ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(change, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
