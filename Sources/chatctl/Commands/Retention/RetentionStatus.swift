import ArgumentParser
import RelayControl

/// `chatctl retention status`
struct RetentionStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how far a purge is, when the last one was, and how full the store is.", examples: ["retention status"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(RetentionStatus())
        try global.output.show(reply) { $0.retention(reply) }
    }
}

extension Page {
    mutating func retention(_ status: RetentionStatus.Reply) {
        pairs([
            ("purge", status.progress.map { Cell(RetentionPurgeCommand.line($0)) } ?? Cell("none under way")),
            ("last purge", Cell(status.lastPurge.map(Figures.time) ?? "never")),
            ("oldest message", Cell(status.oldestMessage.map(Figures.time) ?? "none")),
            ("store", Cell("\(Figures.bytes(status.fileBytes)), of it \(Figures.bytes(status.freeBytes)) free")),
            (
                "free space",
                status.givesBack ? Cell("a purge gives most of it back") : Cell("is kept for new messages: an older relayd made the file", .bad)
            ),
        ])
    }
}
