import ArgumentParser

/// `chatctl bench idle`
struct BenchIdle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle", abstract: "Connections that do nothing: what each adds to the relay's memory.",
        discussion: """
            Connects \(IdleLoad.warmUp) devices first, so that what lies free in the relay's heap is used up, and measures how its resident memory grows \
            from there. A relay that was just started and serves nobody else gives the cleanest figure.
            """,
        examples: ["bench idle --connections 1000"])

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("Connections to measure at (default: 1000); give it several times for several measurements.", valueName: "count"))
    var connections: [Int] = []

    @OptionGroup var options: BenchOptions

    private var steps: [Int] { connections.isEmpty ? [1000] : connections.sorted() }

    func validate() throws { for step in steps { try BenchBounds.check("--connections", step, BenchBounds.connections) } }

    func run() async throws {
        let load = IdleLoad(steps: steps)
        try await options.run(connections: (steps.last ?? 0) + IdleLoad.warmUp) { try await load.run($0, $1, $2) }
    }
}
