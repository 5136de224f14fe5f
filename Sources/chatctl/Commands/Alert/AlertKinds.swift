import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl alert kinds`
struct AlertKindsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kinds", abstract: "Show what there can be alerts about, from when on, and where they go.", examples: ["alert kinds"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(AlertKinds())
        try global.output.show(reply) { $0.alertKinds(reply) }
        guard !global.json else { return }
        if let target = reply.target {
            Talk.say("Those of severity \(reply.severity.rawValue) and worse go to \(target).")
        } else {
            Talk.hint("alerts go to the log only; the section [alerts] of relayd.toml can name a command or a server")
        }
    }
}
