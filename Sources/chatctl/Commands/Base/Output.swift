import FoundationEssentials
import RelayControl
import RelayModel

/// The one place that turns replies into text: a page for people, or JSON as it came.
struct Output: Sendable {
    var json: Bool
    var color: Bool
    /// The standard output is a terminal.
    var terminal: Bool
    /// What times are compared with ("in 3 h").
    var now: Timestamp = SystemWallClock().now()
    /// Only ASCII, but for text of people.
    var ascii = false
    /// Of the terminal; nil: it is none, and lines are as long as they are.
    var columns: Int?

    /// Shows one reply: as a page, or with `--json` the reply type as it is.
    func show<Reply: Encodable>(_ reply: Reply, page: (inout Page) -> Void) throws(ControlError) {
        StandardOutput.write(try text(reply, page: page))
    }

    /// One element of a stream: a line of text, or with `--json` one JSON value on one line.
    func stream<Element: Encodable>(_ element: Element, line: @autoclosure () -> String) throws(ControlError) {
        StandardOutput.write(try streamText(element, line: line()))
    }

    /// What ``stream(_:line:)`` writes.
    func streamText<Element: Encodable>(_ element: Element, line: @autoclosure () -> String) throws(ControlError) -> String {
        (json ? try encode(element, pretty: false) : line()) + "\n"
    }

    /// What ``show(_:page:)`` writes.
    func text<Reply: Encodable>(_ reply: Reply, page build: (inout Page) -> Void) throws(ControlError) -> String {
        if json { return try encode(reply, pretty: true) + "\n" }
        var page = Page(color: color, now: now, ascii: ascii, columns: columns)
        build(&page)
        return page.text
    }

    private func encode(_ value: some Encodable, pretty: Bool) throws(ControlError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = pretty ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            throw ControlError(.failed, "the reply cannot be written as JSON: \(error)")
        }
    }
}

/// How a word is meant; only colours show it, so it must never be the only sign.
enum Tone: Sendable {
    case plain, strong, good, warning, bad, faint

    fileprivate var code: String? {
        switch self {
        case .plain: nil
        case .strong: "1"
        case .good: "32"
        case .warning: "33"
        case .bad: "31"
        case .faint: "2"
        }
    }
}

/// One place in a table or behind a key.
struct Cell: Sendable, ExpressibleByStringInterpolation {
    var text: String
    var tone: Tone
    /// What somebody wrote: shown as it is, also where the rest is ASCII.
    var isQuoted: Bool
    init(_ text: String, _ tone: Tone = .plain, quoted: Bool = false) {
        self.text = text
        self.tone = tone
        isQuoted = quoted
    }
    init(stringLiteral value: String) { self.init(value) }
}

/// Text for people under construction: tables, keys with values, lines.
struct Page {
    private(set) var text = ""
    let color: Bool
    let now: Timestamp
    let ascii: Bool
    private let columns: Int?

    /// On terminals that are narrower, tables become records, and long values go on below their beginning.
    private static let narrow = 80

    init(color: Bool, now: Timestamp, ascii: Bool = false, columns: Int? = nil) {
        self.color = color
        self.now = now
        self.ascii = ascii
        self.columns = columns
    }

    /// The terminal's width when it is a narrow one.
    var narrowColumns: Int? { columns.flatMap { $0 < Self.narrow ? $0 : nil } }

    private func shown(_ cell: Cell) -> Cell {
        let text = Printable.line(cell.text.isEmpty ? "-" : cell.text)
        return Cell(ascii && !cell.isQuoted ? PlainText.of(text) : text, cell.tone)
    }

    enum Alignment { case left, right }

    /// A column's title, and on which side its cells stand.
    struct Column: ExpressibleByStringLiteral {
        var title: String
        var alignment: Alignment
        init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title
            self.alignment = alignment
        }
        init(stringLiteral value: String) { self.init(value) }
    }

    /// A table with titles in capitals, two spaces between columns, no lines: easy to read and to cut.
    mutating func table(_ columns: [Column], _ rows: [[Cell]]) {
        let titles = columns.map { Cell($0.title, .strong) }
        let lines = ([titles] + rows).map { $0.map { shown($0) } }
        let widths = columns.indices.map { index in lines.map { index < $0.count ? DisplayWidth.of($0[index].text) : 0 }.max() ?? 0 }
        if let room = narrowColumns, widths.reduce(2 * (widths.count - 1), +) > room { return records(columns, rows) }
        for line in lines {
            for (index, cell) in line.enumerated() where index < widths.count {
                let padding = String(repeating: " ", count: max(0, widths[index] - DisplayWidth.of(cell.text)))
                let last = index == widths.count - 1
                switch columns[index].alignment {
                case .left: text += paint(cell.text, cell.tone) + (last ? "" : padding + "  ")
                case .right: text += padding + paint(cell.text, cell.tone) + (last ? "" : "  ")
                }
            }
            text += "\n"
        }
    }

    /// A table's rows below each other, for a terminal that is too narrow for them.
    private mutating func records(_ columns: [Column], _ rows: [[Cell]]) {
        guard !rows.isEmpty else { return line(columns.map(\.title).joined(separator: "  "), .strong) }
        for (index, row) in rows.enumerated() {
            if index > 0 { blank() }
            pairs(zip(columns, row).map { (key: $0.title, value: $1) })
        }
    }

    /// Keys and values, one a line, the values in one column.
    mutating func pairs(_ pairs: [(key: String, value: Cell)]) {
        let pairs = pairs.map { (key: ascii ? PlainText.of($0.key) : $0.key, value: shown($0.value)) }
        let width = pairs.map { DisplayWidth.of($0.key) }.max() ?? 0
        for (key, value) in pairs {
            let padding = String(repeating: " ", count: width - DisplayWidth.of(key))
            var lines = [value.text]
            if let columns = narrowColumns { lines = Self.wrapped(value.text, room: columns - width - 2) }
            for (index, line) in lines.enumerated() {
                let margin = index == 0 ? paint(key, .strong) + padding : String(repeating: " ", count: width)
                text += margin + "  " + paint(line, value.tone) + "\n"
            }
        }
    }

    /// Broken between words. A word that is longer than a line stays whole, so that it can be copied.
    private static func wrapped(_ text: String, room: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            if let last = lines.last, DisplayWidth.of(last) + 1 + DisplayWidth.of(String(word)) <= room {
                lines[lines.count - 1] += " \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }

    mutating func line(_ line: String, _ tone: Tone = .plain) { words([Cell(line, tone)]) }

    /// One line of words that stand behind each other as they are.
    mutating func words(_ cells: [Cell]) {
        text += cells.map { paint(ascii && !$0.isQuoted ? PlainText.of(Printable.line($0.text)) : Printable.line($0.text), $0.tone) }.joined() + "\n"
    }

    mutating func blank() { text += "\n" }

    /// Text that is already laid out for the terminal, such as a QR code.
    mutating func block(_ block: String) { text += block }

    private func paint(_ text: String, _ tone: Tone) -> String {
        guard color, let code = tone.code else { return text }
        return "\u{1B}[\(code)m\(text)\u{1B}[0m"
    }
}

/// How many columns of a terminal a text takes.
enum DisplayWidth {
    static func of(_ text: String) -> Int { text.reduce(0) { $0 + of($1) } }

    private static func of(_ character: Character) -> Int {
        var width = 0
        for scalar in character.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .enclosingMark, .format, .control: continue
            default: width = max(width, isWide(scalar) ? 2 : 1)
            }
        }
        return width
    }

    /// Unicode's East Asian Width W and F (UAX #11), by block.
    private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF, 0xA960...0xA97F,
            0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF,
            0x20000...0x3FFFD:
            true
        default:
            scalar.properties.isEmojiPresentation
        }
    }
}

/// Figures as people read them.
enum Figures {
    /// `2026-11-21T09:30:00Z`: to the second, in UTC.
    static func time(_ time: Timestamp) -> String { String(time.description.dropLast(5)) + "Z" }

    /// The largest unit of which there are at least two, to the nearest whole: `3 d`, `24 h`, `5 min`, `12 s`.
    static func span(_ duration: Duration) -> String {
        let seconds = max(0, (duration.milliseconds + 500) / 1000)
        for (unit, name) in [(Int64(86_400), "d"), (3600, "h"), (60, "min")] where seconds + unit / 2 >= 2 * unit {
            return "\((seconds + unit / 2) / unit) \(name)"
        }
        return "\(seconds) s"
    }

    /// A short time as people measure it: `0.12 ms`, `34 ms`, `2.5 s`; longer ones as ``span(_:)``.
    static func shortTime(_ seconds: Double) -> String {
        switch seconds {
        case ..<0.01: "\(decimal(seconds * 1000, digits: seconds == 0 ? 0 : 2)) ms"
        case ..<1: "\(decimal(seconds * 1000, digits: 0)) ms"
        case ..<120: "\(decimal(seconds, digits: 1)) s"
        default: span(.milliseconds(Int64(min(seconds, 1e12) * 1000)))
        }
    }

    /// Binary units with one decimal: `64 B`, `1.5 MiB`.
    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        var unit = "B"
        for next in ["KiB", "MiB", "GiB", "TiB"] where value >= 1024 {
            value /= 1024
            unit = next
        }
        return unit == "B" ? "\(count) B" : "\(decimal(value, digits: 1)) \(unit)"
    }

    /// A number with a fixed count of decimals, rounded half up.
    static func decimal(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((abs(value) * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        let sign = value < 0 && scaled != 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(scaled)" }
        return "\(sign)\(scaled / scale).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    /// Thousands apart: `1,234,567`.
    static func count(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        var shown = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { shown.append(",") }
            shown.append(digit)
        }
        return value < 0 ? "-" + shown : shown
    }

    /// `1 device`, `2 devices`.
    static func number(_ value: Int, _ singular: String, _ plural: String? = nil) -> String {
        "\(count(value)) \(value == 1 ? singular : plural ?? singular + "s")"
    }
}
