/// Reads the text format 0.0.4 as strictly as its description: a second opinion on what the relay writes.
struct PrometheusReader {
    struct Sample: Equatable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    struct Family: Equatable {
        var name: String
        var help: String
        var type: String
        var samples: [Sample] = []
    }

    struct Failure: Error, CustomStringConvertible {
        var line: String
        var why: String
        var description: String { "\(why): \(line)" }
    }

    static func read(_ text: String) throws -> [Family] {
        guard text.isEmpty || text.hasSuffix("\n") else { throw Failure(line: "", why: "the last line does not end") }
        var families: [Family] = []
        var help: (name: String, text: String)?
        for line in text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init) {
            if line.hasPrefix("# HELP ") {
                let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1).map(String.init)
                guard parts.count == 2 else { throw Failure(line: line, why: "a help without text") }
                help = (parts[0], try unescaped(parts[1], quotes: false, line))
            } else if line.hasPrefix("# TYPE ") {
                let parts = line.dropFirst(7).split(separator: " ").map(String.init)
                guard parts.count == 2, ["counter", "gauge", "histogram", "summary", "untyped"].contains(parts[1]) else {
                    throw Failure(line: line, why: "no type")
                }
                guard let help, help.name == parts[0] else { throw Failure(line: line, why: "a type without its help before it") }
                guard !families.contains(where: { $0.name == parts[0] }) else { throw Failure(line: line, why: "a metric twice") }
                families.append(Family(name: parts[0], help: help.text, type: parts[1]))
            } else if !line.hasPrefix("#") {
                let sample = try sample(line)
                guard let family = families.last else { throw Failure(line: line, why: "a sample without a type") }
                let endings = family.type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
                guard endings.contains(where: { sample.name == family.name + $0 }) else {
                    throw Failure(line: line, why: "a sample of another metric than \(family.name)")
                }
                guard !family.samples.contains(where: { $0.name == sample.name && $0.labels == sample.labels }) else {
                    throw Failure(line: line, why: "a sample twice")
                }
                families[families.count - 1].samples.append(sample)
            }
        }
        for family in families where family.type == "histogram" { try check(histogram: family) }
        return families
    }

    /// Buckets rise in bound and count, and the last is the count.
    private static func check(histogram family: Family) throws {
        let buckets = family.samples.filter { $0.name.hasSuffix("_bucket") }
        var bound = -Double.infinity
        var count = -1.0
        for bucket in buckets {
            guard let text = bucket.labels["le"], let le = number(text), le > bound, bucket.value >= count else {
                throw Failure(line: "\(bucket)", why: "buckets do not rise")
            }
            (bound, count) = (le, bucket.value)
        }
        let total = family.samples.first { $0.name.hasSuffix("_count") }?.value
        guard bound == .infinity, total == count, family.samples.contains(where: { $0.name.hasSuffix("_sum") }) else {
            throw Failure(line: family.name, why: "a histogram that is not whole")
        }
    }

    private static func sample(_ line: String) throws -> Sample {
        var rest = line[...]
        let name = String(rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") })
        guard let first = name.first, !first.isNumber else { throw Failure(line: line, why: "no name") }
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while rest.first != "}" {
                let key = String(rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
                rest = rest.dropFirst(key.count)
                guard !key.isEmpty, labels[key] == nil, rest.hasPrefix("=\"") else { throw Failure(line: line, why: "no label") }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.first, character != "\"" {
                    value.append(character)
                    rest = rest.dropFirst()
                    if character == "\\", let next = rest.first {
                        value.append(next)
                        rest = rest.dropFirst()
                    }
                }
                labels[key] = try unescaped(value, quotes: true, line)
                rest = rest.dropFirst()
                if rest.first == "," { rest = rest.dropFirst() }
            }
            rest = rest.dropFirst()
        }
        guard rest.first == " ", let value = number(String(rest.dropFirst())) else { throw Failure(line: line, why: "no number") }
        return Sample(name: name, labels: labels, value: value)
    }

    private static func number(_ text: String) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default: text.contains(" ") ? nil : Double(text)
        }
    }

    private static func unescaped(_ text: String, quotes: Bool, _ line: String) throws -> String {
        var result = ""
        var rest = text[...]
        while let character = rest.first {
            rest = rest.dropFirst()
            guard character == "\\" else {
                result.append(character)
                continue
            }
            switch rest.first {
            case "\\": result.append("\\")
            case "n": result.append("\n")
            case "\"" where quotes: result.append("\"")
            default: throw Failure(line: line, why: "an escape that there is not")
            }
            rest = rest.dropFirst()
        }
        return result
    }
}
