import Glibc
import Logging
import RelayModel
import Synchronization

/// Where the log goes.
enum LogDestination: String, Sendable, CaseIterable {
    case auto, journal, stderr

    /// Starts logging. Called once, before the first line is logged.
    func bootstrap(_ level: LogLevel) {
        switch resolved {
        case .journal: LoggingSystem.bootstrap { RelayLogHandler(label: $0, level: level, sink: JournalSink()) }
        case .stderr, .auto:
            let sink = StandardErrorSink(prefixed: Systemd.standardErrorIsJournal)
            LoggingSystem.bootstrap { RelayLogHandler(label: $0, level: level, sink: sink) }
        }
    }

    /// `auto` goes to the journal when systemd connected the standard error to it.
    private var resolved: LogDestination {
        self == .auto ? (Systemd.standardErrorIsJournal ? .journal : .stderr) : self
    }
}

/// The level that all loggers share, so that a reload changes it everywhere at once.
final class LogLevel: Sendable {
    private let level: Mutex<Logger.Level>

    init(_ level: Logger.Level) { self.level = Mutex(level) }

    var current: Logger.Level {
        get { level.withLock { $0 } }
        set { level.withLock { $0 = newValue } }
    }
}

/// One line of the log on its way out.
struct LogLine {
    var level: Logger.Level
    var label: String
    var message: String
    var fields: [(key: String, value: String)]
}

/// Takes finished lines. Any thread.
protocol LogSink: Sendable {
    func write(_ line: LogLine)
}

/// The swift-log handler for every sink.
struct RelayLogHandler<Sink: LogSink>: LogHandler {
    let label: String
    let level: LogLevel
    let sink: Sink
    /// A logger that was given a level of its own keeps it.
    private var override: Logger.Level?
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(label: String, level: LogLevel, sink: Sink) {
        self.label = label
        self.level = level
        self.sink = sink
    }

    var logLevel: Logger.Level {
        get { override ?? level.current }
        set { override = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        var fields = all.map { (key: $0.key, value: $0.value.description) }.sorted { $0.key < $1.key }
        if let error = event.error { fields.append((key: "error", value: "\(error)")) }
        sink.write(LogLine(level: event.level, label: label, message: event.message.description, fields: fields))
    }
}

extension Logger.Level {
    /// syslog(3)'s priority.
    var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}

/// Lines on the standard error: with systemd's `<N>` in front when the journal reads them, else with time and level for people.
struct StandardErrorSink: LogSink {
    /// See sd-daemon(3).
    var prefixed: Bool

    func write(_ line: LogLine) {
        Self.plain(Self.text(line, prefixed: prefixed, now: SystemWallClock().now()))
    }

    /// One line as it is, in one call, so that lines of several threads do not mix. When nobody reads them there is nowhere to say so.
    static func plain(_ text: String) {
        var line = text + "\n"
        line.withUTF8 { bytes in _ = Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }

    static func text(_ line: LogLine, prefixed: Bool, now: Timestamp) -> String {
        let fields = line.fields.map { " \($0.key)=\(quoted($0.value))" }.joined()
        let start = prefixed ? "<\(line.level.priority)>" : "\(now) \(line.level.rawValue) "
        return "\(start)\(line.label): \(escaped(line.message))\(escaped(fields))"
    }

    private static func quoted(_ value: String) -> String {
        guard value.isEmpty || value.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) else { return value }
        return "\"\(value.replacing("\"", with: "\\\""))\""
    }

    /// Whatever a message quotes cannot begin a line of its own.
    private static func escaped(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) {
                result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }
}
