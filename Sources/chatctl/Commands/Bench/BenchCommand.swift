import ArgumentParser
import RelayControl
import RelayHTTP
import RelayModel

/// `chatctl bench`
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure the relay with throw-away users.",
        discussion: """
            Adds users, enrols a device for each, puts a load on the relay, checks that nothing was lost, doubled or reordered, and takes everything \
            away again. The bodies are random bytes: the relay cannot tell them from ciphertext. Latency runs from the moment when a message is due \
            to its arrival at the other device. CPU time is the relay's own, all its threads together. Exit status 1 when a promise was broken.
            """,
        subcommands: [
            BenchPairs.self, BenchFanOut.self, BenchOffline.self, BenchIdle.self, BenchSeed.self, BenchSurge.self, BenchKeys.self,
            BenchPresence.self,
        ],
        defaultSubcommand: BenchPairs.self)
}

/// What every load takes.
struct BenchOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where clients reach the relay (default: the public URL that its status names).", valueName: "url"))
    var url: String?

    @OptionGroup var trust: TrustOptions

    @OptionGroup var global: GlobalOptions

    /// Runs a load with users of its own, removes these in any case, shows the report, and fails when a promise was broken.
    func run<Report: BenchReport>(
        connections: Int, _ load: (ControlClient, Endpoint, BenchPopulation) async throws -> Report
    ) async throws {
        try BenchDescriptors.require(connections: connections)
        let control = global.control
        let status = try await control.call(Status())
        let endpoint: Endpoint
        do {
            endpoint = try Endpoint(url: url ?? status.publicURL, trust: trust.trust)
        } catch {
            throw ControlError(.badRequest, "\(error)", hint: "name the address with --url")
        }
        let population = BenchPopulation(socket: global.socketPath, endpoint: endpoint)
        let report: Report
        do {
            report = try await translatingClientErrors {
                try await withTaskExecutorPreference(globalConcurrentExecutor) { try await load(control, endpoint, population) }
            }
        } catch {
            try await population.remove()
            throw error
        }
        try await population.remove()
        try global.output.show(report) { report.show(on: &$0) }
        try report.verdict.check()
    }
}

/// Bounds of what a load may be asked for; the message names the option.
enum BenchBounds {
    static let pairs = 1...1000
    static let rate = 1...1_000_000
    /// The tokens live for 15 minutes.
    static let seconds = 1...600
    static let size = BenchFrames.stampBytes...Limits.bodyBytesCeiling
    static let connections = 1...100_000

    static func check(_ option: String, _ value: Int, _ range: ClosedRange<Int>) throws {
        guard range.contains(value) else { throw ValidationError("\(option) takes \(range.lowerBound) to \(range.upperBound)") }
    }
}
