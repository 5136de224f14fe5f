import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client status`
struct ClientStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the device's account, its outbox and how far its messages got.",
        discussion: "From the state directory alone; the relay is not asked.")

    @OptionGroup var client: ClientOptions

    struct Chat: Codable {
        var chat: ChatID
        var with: String?
        /// All messages of the chat that are here.
        var messages: Int
        /// Sent from this device and on the relay's disk; of these, delivered to and read by the other member.
        var sent: Int
        var delivered: Int
        var read: Int
        var deliveredSeq: UInt64
        var readSeq: UInt64
        var lastSeq: UInt64
        /// Places of the chat that never came.
        var missing: Int
    }

    struct Report: Codable {
        var user: String
        var userID: UserID
        var device: DeviceID
        var deviceName: String
        var relay: String
        var state: String
        var cursor: UInt64
        var highestClientMessageID: UInt64
        var outbox: Int
        var deadLetters: Int
        var lateArrivals: UInt64
        var chats: [Chat]
    }

    func run() async throws {
        try await translatingClientErrors {
            let (state, account) = try ClientState.inspect(client.directory)
            let report = Report(
                user: account.userName, userID: account.user, device: account.device, deviceName: account.deviceName, relay: account.relay,
                state: client.directory.path, cursor: try state.cursor(), highestClientMessageID: try state.highestClientMessageID(),
                outbox: try state.outboxCount(), deadLetters: try state.deadLetters().count, lateArrivals: try state.lateArrivals(),
                chats: try state.chats().map {
                    Chat(
                        chat: $0.chat, with: $0.with, messages: $0.messages, sent: $0.sent, delivered: $0.delivered, read: $0.read,
                        deliveredSeq: $0.deliveredSeq, readSeq: $0.readSeq, lastSeq: $0.lastSeq, missing: $0.missing)
                })
            try client.output.show(report) { page in
                page.pairs([
                    ("user", Cell(report.user, .strong)), ("device", Cell("\(report.deviceName) (\(report.device))")), ("relay", Cell(report.relay)),
                    ("received up to", Cell("\(report.cursor)")), ("outbox", Cell(Figures.number(report.outbox, "message"))),
                    ("dead letters", Cell(Figures.count(report.deadLetters), report.deadLetters > 0 ? .bad : .plain)),
                ])
                guard !report.chats.isEmpty else { return }
                page.blank()
                page.table(
                    [
                        "CHAT WITH", Page.Column("MESSAGES", .right), Page.Column("SENT", .right), Page.Column("DELIVERED", .right),
                        Page.Column("READ", .right),
                        Page.Column("MISSING", .right), "CHAT",
                    ],
                    report.chats.map { chat in
                        [
                            Cell(chat.with ?? "", .strong), Cell(Figures.count(chat.messages)), Cell(Figures.count(chat.sent)),
                            Cell(Figures.count(chat.delivered)), Cell(Figures.count(chat.read)),
                            Cell(Figures.count(chat.missing), chat.missing > 0 ? .bad : .plain),
                            Cell(chat.chat.description, .faint),
                        ]
                    })
            }
        }
    }
}
