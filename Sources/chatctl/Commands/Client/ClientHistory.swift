import ArgumentParser
import RelayClient
import RelayControl
import RelayModel

/// `chatctl client history`
struct ClientHistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Print the messages that this device has.",
        discussion: """
            In the order of each chat, with the changes of groups, deletions, and what is missing. --raw prints only the texts, byte for byte, one a line.
            """,
        examples: ["client history --chat bob --state ~/phone"])

    @Option(
        name: [.customLong("chat"), .customLong("chat-with")],
        help: ArgumentHelp("Only this chat: the other user, the group's title, or the chat's number.", valueName: "chat"))
    var chat: String?

    @Flag(help: "Only the texts.")
    var raw = false

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if raw, client.rendering.json { throw ValidationError("give --raw or --json, not both") }
    }

    struct Report: Codable {
        var messages: [MessageReport]
        var gaps: [GapReport]
    }

    func run() async throws {
        try await translatingClientErrors {
            let (state, _) = try ClientState.inspect(client.directory)
            let chosen = try chat.map { text throws(ClientError) in try state.findChat(text) }
            let entries = try state.history(chat: chosen)
            if raw {
                var unreadable = 0
                for entry in entries where entry.kind == .message {
                    if let text = entry.text { StandardOutput.write(text + "\n") } else { unreadable += 1 }
                }
                if unreadable > 0 {
                    Talk.say("\(Figures.number(unreadable, "message")) cannot be read and \(unreadable == 1 ? "is" : "are") left out")
                }
                return
            }
            let gaps = try state.gapRecords(chat: chosen)
            let report = Report(messages: entries.map { MessageReport($0) }, gaps: gaps.map { GapReport($0) })
            guard !entries.isEmpty || !gaps.isEmpty || client.rendering.json else {
                Talk.say("There are no messages yet.")
                return
            }
            try client.output.show(report) { $0.history(entries, gaps: gaps) }
        }
    }
}
