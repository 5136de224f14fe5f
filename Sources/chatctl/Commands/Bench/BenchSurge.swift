import ArgumentParser

/// `chatctl bench surge`
struct BenchSurge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "surge", abstract: "Ten times what the relay can take: it must hold, refuse, and recover.",
        discussion: """
            Measures first what the relay takes at saturation, and the latency at a quarter of that. Then ten times as much is due, for --seconds; \
            clients that are sent away come back and repeat what was not answered. Afterwards the load is a quarter again until the latency is normal.
            """,
        examples: ["bench surge --seconds 5"])

    @Option(help: ArgumentHelp("Pairs of devices; one of each pair sends.", valueName: "count"))
    var pairs = 400

    @Option(help: ArgumentHelp("Bytes of each body.", valueName: "bytes"))
    var size = 256

    @Option(help: ArgumentHelp("How long the surge lasts.", valueName: "count"))
    var seconds = 60

    @OptionGroup var options: BenchOptions

    func validate() throws {
        try BenchBounds.check("--pairs", pairs, BenchBounds.pairs)
        try BenchBounds.check("--size", size, BenchBounds.size)
        try BenchBounds.check("--seconds", seconds, BenchBounds.seconds)
    }

    func run() async throws {
        let load = SurgeLoad(pairs: pairs, bodyBytes: size, seconds: seconds)
        try await options.run(connections: 2 * pairs) { try await load.run($0, $1, $2) }
    }
}
