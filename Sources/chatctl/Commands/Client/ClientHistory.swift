import ArgumentParser
import RelayClient
import RelayControl
import RelayModel

/// `chatctl client history`
struct ClientHistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Print the messages that this device has.",
        discussion: "In the order of each chat. --raw prints only the texts, byte for byte, one a line.")

    @Option(name: .customLong("chat-with"), help: ArgumentHelp("Only the chat with this user.", valueName: "user"))
    var chatWith: String?

    @Flag(help: "Only the texts.")
    var raw = false

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if raw, client.rendering.json { throw ValidationError("give --raw or --json, not both") }
    }

    struct Report: Codable {
        var messages: [MessageReport]
    }

    func run() async throws {
        try await translatingClientErrors {
            let (state, _) = try ClientState.inspect(client.directory)
            var chat: ChatID?
            if let chatWith {
                let name: String
                do throws(UserName.Invalid) { name = try UserName(chatWith).text } catch { throw ControlError(.badRequest, error.description) }
                chat = try state.chat(with: name)
                guard chat != nil else {
                    throw ControlError(
                        .notFound, "this device has no chat with \(name)",
                        hint: "`chatctl client status --state \(client.directory.path)` lists the chats")
                }
            }
            let entries = try state.history(chat: chat)
            if raw {
                var unreadable = 0
                for entry in entries {
                    if let text = entry.text { StandardOutput.write(text + "\n") } else { unreadable += 1 }
                }
                if unreadable > 0 {
                    Talk.say("\(Figures.number(unreadable, "message")) cannot be read and \(unreadable == 1 ? "is" : "are") left out")
                }
                return
            }
            let report = Report(messages: entries.map { MessageReport($0) })
            guard !entries.isEmpty || client.rendering.json else {
                Talk.say("There are no messages yet.")
                return
            }
            try client.output.show(report) { page in
                page.table(
                    ["SENT", "CHAT WITH", Page.Column("SEQ", .right), "FROM", "TEXT"],
                    report.messages.map { message in
                        [
                            Cell(Figures.time(message.sentAt), .faint), Cell(message.with ?? message.chat.description), Cell("\(message.seq)"),
                            Cell(message.from ?? message.fromDevice.description, .strong),
                            message.text.map { Cell($0) } ?? Cell(message.problem ?? "unreadable", .bad),
                        ]
                    })
            }
        }
    }
}
