import Glibc
import RelayControl
import RelayModel
import RelayTLS
import TOMLKit

/// Something wrong in a configuration file.
struct ConfigurationProblem: Error, Sendable, Equatable, CustomStringConvertible {
    var file: String
    /// From 1; nil when it belongs to no line.
    var line: Int?
    var column: Int?
    var message: String

    var description: String { ([file] + [line, column].compactMap { $0.map(String.init) }).joined(separator: ":") + ": " + message }
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
    /// False: there is no file, and everything is the default.
    var isThere = true

    /// Larger ones are not configuration.
    private static let bytesCeiling = 1 << 20

    /// Reads a file. A missing one means the defaults, unless the operator named it.
    static func load(path: String, named: Bool) throws(ConfigurationProblems) -> ConfigurationFile {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT, !named { return ConfigurationFile(configuration: Configuration(), lines: [:], isThere: false) }
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
        return try parse(try text(of: bytes, path: path), path: path)
    }

    /// A text in UTF-8. What other programs save instead is named.
    static func text(of bytes: [UInt8], path: String) throws(ConfigurationProblems) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) { throw one(path, "it is UTF-16: save it as UTF-8") }
        var (line, column) = (1, 1)
        var decoder = UTF8()
        var rest = bytes.makeIterator()
        while case .scalarValue(let scalar) = decoder.decode(&rest) { (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1) }
        throw one(path, "it is not UTF-8 text", line: line, column: column)
    }

    /// Checks a text against ``ConfigurationOption/all``; reports all that is wrong, not only the first.
    static func parse(_ text: String, path: String) throws(ConfigurationProblems) -> ConfigurationFile {
        let table: TOMLTable
        if let line = SectionNames.firstWrong(in: text) {
            throw one(path, "it is not TOML: a section's name must begin with a letter, a digit, “_”, “-” or a quotation mark", line: line)
        }
        // The parser hands texts on as C does, which ends them there.
        if let line = TextLines.of(text).firstIndex(where: { line, _ in line.contains(/\\(u0000|U00000000)/) && !line.hasPrefix("#") }) {
            throw one(path, "a text cannot have a NUL in it", line: line + 1)
        }
        if let line = MisplacedBraces.firstLine(in: text) { throw one(path, "it is not TOML: a value is missing before “}”", line: line) }
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw broken(path, error, ConfigurationPlaces(text))
        } catch {
            throw one(path, "it is not TOML: \(error)")
        }
        let places = ConfigurationPlaces(text)
        var result = ConfigurationFile(configuration: Configuration(), lines: [:])
        var problems: [ConfigurationProblem] = []
        func report(_ name: String, _ message: String, isValue: Bool = false) {
            let place = places.place(of: name)
            problems.append(
                ConfigurationProblem(file: path, line: place?.line, column: isValue ? place?.valueColumn : place?.column, message: message))
        }
        for section in table.keys {
            let options = ConfigurationOption.all.filter { $0.section == section }
            guard !options.isEmpty else {
                let isTable = table[section]?.table != nil
                report(
                    section,
                    "there is no \(isTable ? "section [\(bounded(section))]" : "key \(bounded(section))")\(suggestion(for: section, sectionsOnly: isTable))"
                )
                continue
            }
            guard let keys = table[section]?.table else {
                report(section, "\(section) must be a section, written [\(section)]")
                continue
            }
            for key in keys.keys {
                let name = "\(section).\(key)"
                guard let option = options.first(where: { $0.key == key }) else {
                    report(name, "there is no key \(bounded(name))\(suggestion(for: name, sectionsOnly: false))")
                    continue
                }
                guard let raw = keys[key], let value = ConfigurationValue(raw), option.write(&result.configuration, value) else {
                    let found = option.secret ? "what stands there" : keys[key].map(shown) ?? "nothing"
                    report(name, "\(name) must be \(option.allowed), not \(found)", isValue: true)
                    continue
                }
                result.lines[name] = places.place(of: name)?.line ?? 0
            }
        }
        let configuration = result.configuration
        if problems.isEmpty, configuration.tls.certificate.isEmpty != configuration.tls.key.isEmpty {
            let (there, missing) = configuration.tls.key.isEmpty ? ("certificate", "key") : ("key", "certificate")
            report("tls.\(there)", "tls.\(there) is named, and tls.\(missing) is not: TLS takes both", isValue: true)
        }
        if problems.isEmpty, !configuration.listenAddress.isLoopback, !configuration.allowPlaintext, !configuration.speaksTLS {
            report(
                "listen.address",
                "other hosts can connect to \(configuration.listenAddress), and without TLS others can listen: name tls.certificate and tls.key, listen on "
                    + "127.0.0.1 behind a proxy that speaks TLS, or, in a network that is trusted, set listen.allow_plaintext = true", isValue: true)
        }
        if problems.isEmpty, configuration.speaksTLS, configuration.publicURL.hasPrefix("http://") {
            report("listen.public_url", "listen.public_url begins with http://, but clients connect with TLS: write https://", isValue: true)
        }
        if problems.isEmpty, configuration.listenAddress.unixPath != nil, configuration.publicURL.isEmpty {
            report("listen.address", "a Unix socket is no address for clients: name the proxy's with listen.public_url", isValue: true)
        }
        if problems.isEmpty, configuration.offlineAfterSeconds < 2 * configuration.heartbeatSeconds {
            report(
                result.lines["presence.offline_after"] == nil ? "presence.heartbeat" : "presence.offline_after",
                "presence.offline_after is \(configuration.offlineAfterSeconds), which is less than two heartbeats of "
                    + "\(configuration.heartbeatSeconds) seconds: users would seem to come and go", isValue: true)
        }
        guard problems.isEmpty else {
            throw ConfigurationProblems(
                problems: problems.sorted { ($0.line ?? 0, $0.column ?? 0, $0.message) < ($1.line ?? 0, $1.column ?? 0, $1.message) })
        }
        return result
    }

    private static func one(_ path: String, _ message: String, line: Int? = nil, column: Int? = nil) -> ConfigurationProblems {
        ConfigurationProblems(problems: [ConfigurationProblem(file: path, line: line, column: column, message: message)])
    }

    /// What the parser says, and where something stands twice, where it did first.
    private static func broken(_ path: String, _ error: TOMLParseError, _ places: ConfigurationPlaces) -> ConfigurationProblems {
        let begin = error.source.begin
        if let twice = places.repetitions.first(where: { $0.place.line == begin.line }) {
            let message = "\(bounded(twice.name)) is set a second time: it stands in line \(twice.firstLine) already"
            return one(path, message, line: twice.place.line, column: twice.place.column)
        }
        return one(path, "it is not TOML: \(bounded(error.description))", line: begin.line, column: begin.column)
    }

    /// What the file brings into a message: neither endless nor able to drive a terminal.
    private static func bounded(_ text: String) -> String {
        let scalars = text.unicodeScalars.prefix(200).map {
            $0.value < 32 || (0x7F..<0xA0).contains($0.value) ? Character("\u{FFFD}") : Character($0)
        }
        return String(scalars) + (text.unicodeScalars.count > 200 ? "…" : "")
    }

    private static func shown(_ value: any TOMLValueConvertible) -> String {
        switch value.type {
        case .string, .int, .bool: bounded(ConfigurationValue(value)?.description ?? "that")
        case .double: "a number with a fraction"
        case .array: "a list"
        case .table: "a section"
        default: "a date or time"
        }
    }

    /// `; did you mean …?` when a known name is near.
    private static func suggestion(for name: String, sectionsOnly: Bool) -> String {
        // Nothing is near what is longer than all that there is, and looking would take long.
        guard name.utf8.count <= 100 else { return "" }
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

/// The parser (toml++ 3.x) asserts, instead of checking, that a section's name begins with a character of a key; in a release build its
/// compiler then relies on it. So it is checked here. That also refuses lists that span lines, which no option takes.
private enum SectionNames {
    static func firstWrong(in text: String) -> Int? {
        TextLines.of(text).firstIndex { line, _ in
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
