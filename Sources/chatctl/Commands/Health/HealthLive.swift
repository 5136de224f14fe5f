import ArgumentParser
import RelayControl

/// `chatctl health live`
struct HealthLiveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "live", abstract: "Whether relayd answers at all.",
        discussion: """
            A relay that does not should be started again. Exit status 0 when it answers, 69 when nobody does, 75 when it takes longer than --timeout.
            """, examples: ["health live --timeout 2s"])

    @Option(help: ArgumentHelp("How long to wait, such as 2s.", valueName: "span"))
    var timeout = Lifetime(seconds: 5)

    @OptionGroup var global: GlobalOptions

    struct Report: Codable {
        var state: String
        var relayVersion: String
    }

    func run() async throws {
        let control = ControlClient(socket: global.socketPath, patience: .seconds(timeout.seconds))
        let report = Report(state: "live", relayVersion: try await control.greet().relayVersion)
        try global.output.show(report) { $0.line("live", .good) }
    }
}
