import ArgumentParser
import RelayModel

/// `chatctl bench offline`
struct BenchOffline: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "offline", abstract: "Senders send while the receivers are away; then these come and take everything.",
        discussion: """
            Both halves are measured on their own. At the end one device that missed --backlog messages takes them while other pairs are live; \
            0 leaves that out.
            """,
        examples: ["bench offline --backlog 0"])

    @Option(help: ArgumentHelp("Pairs of devices; one of each pair sends.", valueName: "count"))
    var pairs = 100

    @Option(help: ArgumentHelp("Bytes of each body.", valueName: "bytes"))
    var size = 256

    @Option(help: ArgumentHelp("Messages over all pairs.", valueName: "count"))
    var messages = 100_000

    @Option(help: ArgumentHelp("Messages that one device missed.", valueName: "count"))
    var backlog = 50_000

    @OptionGroup var options: BenchOptions

    func validate() throws {
        try BenchBounds.check("--pairs", pairs, BenchBounds.pairs)
        try BenchBounds.check("--size", size, BenchBounds.size)
        try BenchBounds.check("--messages", messages, pairs...10_000_000)
        try BenchBounds.check("--backlog", backlog, 0...10_000_000)
    }

    func run() async throws {
        let load = OfflineLoad(pairs: pairs, bodyBytes: size, messages: messages, backlog: backlog)
        try await options.run(connections: 2 * (pairs + OfflineLoad.livePairs + 1)) { try await load.run($0, $1, $2) }
    }
}
