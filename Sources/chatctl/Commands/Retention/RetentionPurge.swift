import ArgumentParser
import RelayControl

/// `chatctl retention purge`
struct RetentionPurgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge", abstract: "Delete what the policies do not keep, and give the space back.",
        discussion: """
            relayd does so by itself every few hours; see purge_hours in relayd.toml. It works in small steps beside the traffic and goes on when \
            this command is interrupted: `chatctl retention stop` ends it.
            """,
        examples: ["retention purge", "retention purge --cron"])

    @Flag(help: "For cron: say nothing unless something is wrong. A purge that is under way already is not.")
    var cron = false

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    /// How often the progress is asked for.
    private static let look = Duration.milliseconds(200)

    func run() async throws {
        let control = global.control
        let run: Int
        do {
            run = try await control.call(RetentionPurge(reason: reason ?? (cron ? "cron" : nil))).run
        } catch {
            // It purges already, or is overloaded or stopping: then it purges by itself later.
            guard cron, error.code == .tryAgain else { throw error }
            return
        }
        defer { Talk.endProgress() }
        while true {
            let status = try await control.call(RetentionStatus(run: run))
            if let failure = status.failure { throw failure }
            if let finished = status.finished {
                Talk.endProgress()
                guard !cron else { return }
                return try global.output.show(finished) { page in
                    page.retention(finished.extent)
                    page.line(
                        "\(Figures.number(finished.extent.messages, "message")) went in \(Figures.decimal(Double(finished.milliseconds) / 1000, digits: 1)) s, "
                            + "\(Figures.bytes(finished.released)) were given back to the file system.")
                }
            }
            guard let progress = status.progress else { throw Self.lost }
            if !cron { Talk.progress(RetentionPurgeCommand.line(progress)) }
            try await Task.sleep(for: Self.look)
        }
    }

    private static let lost = ControlError(
        .failed, "relayd does not know the purge any more: it was started anew", hint: "chatctl retention purge takes up what is left")

    static func line(_ progress: RetentionStatus.Progress) -> String {
        let width = 24
        let full = Int((min(1, max(0, progress.fraction)) * Double(width)).rounded(.down))
        let bar = String(repeating: "#", count: full) + String(repeating: ".", count: width - full)
        let doing =
            switch progress.phase {
            case .looking: "looking"
            case .deleting: "deleting"
            case .releasing: "giving space back"
            }
        return "[\(bar)] \(doing): \(Figures.number(progress.messages, "message")), \(Figures.bytes(progress.bytes)) freed"
    }
}
