import ArgumentParser
import RelayControl

/// `chatctl retention show`
struct RetentionShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show for how long messages stay, for each class of users.",
        discussion: "In a chat whose members have different policies the longest holds.", examples: ["retention show"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(RetentionShow())
        try global.output.show(reply) { $0.retention(reply.classes) }
    }
}
