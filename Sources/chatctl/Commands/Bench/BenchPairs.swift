import ArgumentParser

/// `chatctl bench pairs`
struct BenchPairs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pairs", abstract: "One of two sends to the other; the load when none is named.",
        discussion: "Without --rate the relay is saturated: each sender has \(PairsLoad.window) messages under way.",
        examples: ["bench pairs --pairs 100 --seconds 30"])

    @Option(help: ArgumentHelp("Pairs of devices; one of each pair sends.", valueName: "count"))
    var pairs = 8

    @Option(help: ArgumentHelp("Bytes of each body.", valueName: "bytes"))
    var size = 256

    @Option(help: ArgumentHelp("Messages per second over all pairs. Without it: as many as the relay takes.", valueName: "count"))
    var rate: Int?

    @Option(help: ArgumentHelp("How long to send.", valueName: "count"))
    var seconds = 10

    @OptionGroup var options: BenchOptions

    func validate() throws {
        try BenchBounds.check("--pairs", pairs, BenchBounds.pairs)
        try BenchBounds.check("--size", size, BenchBounds.size)
        try BenchBounds.check("--seconds", seconds, BenchBounds.seconds)
        if let rate { try BenchBounds.check("--rate", rate, BenchBounds.rate) }
    }

    func run() async throws {
        let load = PairsLoad(pairs: pairs, bodyBytes: size, rate: rate, seconds: seconds)
        try await options.run(connections: 2 * pairs) { try await load.run($0, $1, $2) }
    }
}
