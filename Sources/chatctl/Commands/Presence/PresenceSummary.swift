import ArgumentParser
import RelayControl

/// `chatctl presence summary`
struct PresenceSummaryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "summary", abstract: "How many users and devices are online, in classes.",
        discussion: """
            Counts the devices that take part in presence, and their users, those included who hide it from others. Each figure is given as a class, from one power \
            of two up to the next, so that nobody can tell from two of them who came or went.
            """,
        examples: ["presence summary"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(PresenceSummary())
        try global.output.show(reply) { $0.presence(reply) }
    }
}

extension CountClass {
    var words: String {
        if atLeast == 0 { return "none" }
        return below - atLeast == 1 ? Figures.count(atLeast) : "\(Figures.count(atLeast)) to \(Figures.count(below - 1))"
    }
}

extension Page {
    mutating func presence(_ summary: PresenceSummary.Reply) {
        pairs([
            ("users online", Cell(summary.usersOnline.words, .strong)), ("devices online", Cell(summary.devicesOnline.words)),
            ("devices watching", Cell(summary.devicesWatching.words)),
            (
                "offline after",
                Cell(
                    "\(Figures.number(summary.offlineAfterSeconds, "second")) without a sign of life; one is due every \(Figures.number(summary.heartbeatSeconds, "second"))"
                )
            ),
        ])
    }
}
