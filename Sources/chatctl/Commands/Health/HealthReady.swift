import ArgumentParser
import RelayControl

/// `chatctl health ready`
struct HealthReadyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ready", abstract: "Whether relayd serves its clients, and if so how well.",
        discussion: """
            Says ready, degraded with reasons (it serves, and an operator should look), or not_ready with reasons. Exit status 0 when it serves, 1 when it \
            is degraded and --strict is given, 75 when it does not serve (yet), 69 when nobody answers.
            """, examples: ["health ready", "health ready --strict --json"])

    @Flag(help: "Degraded is not good enough.")
    var strict = false

    @Option(help: ArgumentHelp("How long to wait, such as 2s.", valueName: "span"))
    var timeout = Lifetime(seconds: 5)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await ControlClient(socket: global.socketPath, patience: .seconds(timeout.seconds)).call(Health())
        try global.output.show(reply) { $0.health(reply) }
        switch reply.state {
        case .ready: break
        case .degraded: if strict { throw ExitCode(1) }
        case .unready: throw ExitCode(ControlErrorCode.tryAgain.exitStatus)
        }
    }
}

extension Page {
    mutating func health(_ reply: Health.Reply) {
        let cell = Self.state(reply)
        line(cell.text, cell.tone)
    }

    /// `degraded: the reasons`
    static func state(_ reply: Health.Reply) -> Cell {
        let tone: Tone =
            switch reply.state {
            case .ready: .good
            case .degraded: .warning
            case .unready: .bad
            }
        return Cell(reply.state.rawValue + (reply.reasons.isEmpty ? "" : ": " + reply.reasons.map(\.text).joined(separator: "; ")), tone)
    }
}
