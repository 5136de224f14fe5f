import ArgumentParser

/// `chatctl bench seed`
struct BenchSeed: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seed", abstract: "Many connections of which each sends now and then.",
        discussion: """
            The connections are pairs that send to each other, each once in --every seconds, evenly spread: 19,000 of them send 317 messages in a second.
            """,
        examples: ["bench seed --connections 2000 --seconds 60"])

    @Option(help: ArgumentHelp("Connections; an even number.", valueName: "count"))
    var connections = 19_000

    @Option(help: ArgumentHelp("Bytes of each body.", valueName: "bytes"))
    var size = 4096

    @Option(help: ArgumentHelp("Seconds between two messages of a connection.", valueName: "count"))
    var every = 60

    @Option(help: ArgumentHelp("How long to send.", valueName: "count"))
    var seconds = 60

    @OptionGroup var options: BenchOptions

    func validate() throws {
        try BenchBounds.check("--connections", connections, BenchBounds.connections)
        guard connections.isMultiple(of: 2) else { throw ValidationError("--connections takes an even number: they send to each other") }
        try BenchBounds.check("--size", size, BenchBounds.size)
        try BenchBounds.check("--every", every, 1...3600)
        try BenchBounds.check("--seconds", seconds, BenchBounds.seconds)
    }

    func run() async throws {
        let load = SeedLoad(connections: connections, bodyBytes: size, every: every, seconds: seconds)
        try await options.run(connections: connections) { try await load.run($0, $1, $2) }
    }
}
