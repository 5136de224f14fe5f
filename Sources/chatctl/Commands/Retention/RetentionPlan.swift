import ArgumentParser
import RelayControl

/// `chatctl retention plan`
struct RetentionPlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show what a purge would take now, rule by rule. Nothing goes.", examples: ["retention plan"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(RetentionPlan())
        try global.output.show(reply) { page in
            page.retention(reply)
            page.line(
                "\(Figures.number(reply.messages, "message")) of \(Figures.number(reply.chats, "chat")), \(Figures.bytes(reply.bytes)), would go.")
        }
    }
}
