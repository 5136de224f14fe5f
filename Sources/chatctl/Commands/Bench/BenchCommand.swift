import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl bench`
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure the relay with throw-away users.",
        discussion: """
            Adds pairs of users, enrols a device for each, sends from one to the other and takes everything away again. The bodies are \
            random bytes: the relay cannot tell them from ciphertext. Latency runs from the moment when a message is due to its arrival \
            at the other device. CPU time is the relay's own, all its threads together.
            """)

    @Option(help: ArgumentHelp("Pairs of devices; one of each pair sends.", valueName: "count"))
    var pairs = 8

    @Option(help: ArgumentHelp("Bytes of each body.", valueName: "bytes"))
    var size = 256

    @Option(help: ArgumentHelp("Messages per second over all pairs. Without it: as many as the relay takes.", valueName: "count"))
    var rate: Int?

    @Option(help: ArgumentHelp("How long to send.", valueName: "count"))
    var seconds = 10

    @Option(help: ArgumentHelp("Where clients reach the relay (default: the public URL that its status names).", valueName: "url"))
    var url: String?

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard (1...1000).contains(pairs) else { throw ValidationError("--pairs takes 1 to 1000") }
        guard (BenchPair.stampBytes...Limits.bodyBytesCeiling).contains(size) else {
            throw ValidationError("--size takes \(BenchPair.stampBytes) to \(Limits.bodyBytesCeiling)")
        }
        guard (1...600).contains(seconds) else { throw ValidationError("--seconds takes 1 to 600: the tokens live for 15 minutes") }
        if let rate, !(1...1_000_000).contains(rate) { throw ValidationError("--rate takes 1 to 1000000") }
    }

    func run() async throws {
        let run = BenchRun(control: global.control, pairs: pairs, bodyBytes: size, rate: rate, seconds: seconds, url: url)
        let report = try await translatingClientErrors { try await run.run() }
        try global.output.show(report) { page in
            page.pairs([
                ("pairs", Cell(Figures.count(report.pairs))),
                ("body", Cell(Figures.bytes(report.bodyBytes))),
                ("load", Cell(report.rate.map { "\(Figures.count($0)) messages/s" } ?? "\(BenchPair.window) outstanding per pair")),
                ("delivered", Cell("\(Figures.count(report.delivered)) messages in \(report.seconds) s")),
                ("rate", Cell("\(Figures.count(Int(report.messagesPerSecond))) messages/s", .strong)),
                ("p50", Cell(milliseconds(report.p50Microseconds))),
                ("p99", Cell(milliseconds(report.p99Microseconds))),
                ("p99.9", Cell(milliseconds(report.p999Microseconds))),
                ("relay CPU", Cell("\(Figures.decimal(report.cpuMicrosecondsPerMessage, digits: 1)) µs a delivered message", .strong)),
                ("batch", Cell("\(Figures.decimal(report.commandsPerCommit, digits: 1)) commands a commit")),
                ("relay memory", Cell(Figures.bytes(report.residentBytes))),
                ("a connection", Cell(report.residentBytesPerConnection.map { Figures.bytes($0) } ?? "-")),
                ("lost", Cell(Figures.count(report.lost), report.lost == 0 ? .good : .bad)),
                ("doubled", Cell(Figures.count(report.doubled), report.doubled == 0 ? .good : .bad)),
                ("refused", Cell(Figures.count(report.refused), report.refused == 0 ? .good : .bad)),
            ])
        }
        guard report.lost == 0, report.doubled == 0 else {
            throw ControlError(
                .failed, "the relay lost \(report.lost) messages and doubled \(report.doubled)", hint: "journalctl -u relayd says how it was")
        }
    }

    private func milliseconds(_ microseconds: Int) -> String { Figures.decimal(Double(microseconds) / 1000, digits: 2) + " ms" }
}

/// What a run of the bench measured.
struct BenchReport: Codable, Sendable {
    var pairs: Int
    var bodyBytes: Int
    /// Messages per second that were asked for; absent at saturation.
    var rate: Int?
    var seconds: Int
    /// Answered with `sent`.
    var accepted: Int
    var delivered: Int
    var messagesPerSecond: Double
    /// From the moment when a message was due to its arrival.
    var p50Microseconds: Int
    var p99Microseconds: Int
    var p999Microseconds: Int
    var cpuMicrosecondsPerMessage: Double
    var commandsPerCommit: Double
    /// Of the relay, at the end of the load.
    var residentBytes: Int
    /// What each connection added while idle; absent with one pair, which cannot show it.
    var residentBytesPerConnection: Int?
    /// Accepted and not delivered within ``BenchRun/drainSeconds`` of the end.
    var lost: Int
    var doubled: Int
    var refused: Int
}
