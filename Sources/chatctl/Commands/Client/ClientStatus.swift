import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client status`
struct ClientStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the device's account, its outbox and how far its messages got.",
        discussion: """
            From the state directory alone, unless --message names one of this device's messages by its number in --chat: then the relay is asked how many \
            have got it and have read it. It knows for as long as it keeps the message.
            """,
        examples: ["client status --state ~/phone"])

    @Option(help: ArgumentHelp("Ask the relay about this message of --chat, by its number there.", valueName: "seq"))
    var message: UInt64?

    @Option(help: ArgumentHelp("The other user, the group's title, or the chat's number.", valueName: "chat"))
    var chat: String?

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if (message == nil) != (chat == nil) { throw ValidationError("--message and --chat go together") }
    }

    struct MessageStatusReport: Codable {
        var chat: ChatID
        var seq: UInt64
        var message: MessageID
        var clientMessageID: UInt64
        var sentAt: Timestamp
        /// The other members now, and how many of them have the message and have read it.
        var recipients: Int
        var delivered: Int
        var read: Int
        /// For everyone.
        var deleted: Bool
    }

    private func ask(_ seq: UInt64, in chat: String) async throws {
        let session = try Session(client.directory)
        do {
            let (found, number) = try await session.read { state throws(ClientError) -> (ChatID, UInt64) in
                let found = try state.findChat(chat)
                guard let number = try state.clientMessageID(in: found, at: seq) else {
                    throw .request(
                        "this device did not send number \(seq) of that chat", hint: "a message's status is given to the device that sent it")
                }
                return (found, number)
            }
            let status = try await session.status(of: number, in: found)
            await session.close()
            let report = MessageStatusReport(
                chat: status.place.chat, seq: status.place.chatSeq, message: status.place.message, clientMessageID: status.place.clientMessageID,
                sentAt: status.place.sentAt, recipients: status.recipients, delivered: status.delivered, read: status.read, deleted: status.deleted)
            try client.output.show(report) { page in
                page.pairs([
                    ("sent", Cell(Figures.time(report.sentAt))), ("delivered", Cell("\(report.delivered) of \(report.recipients)")),
                    ("read", Cell("\(report.read) of \(report.recipients)")), ("deleted", Cell(report.deleted ? "for everyone" : "no")),
                ])
            }
        } catch {
            await session.close()
            throw error
        }
    }

    struct Chat: Codable {
        var chat: ChatID
        var with: String?
        /// The chat is a group; left out otherwise.
        var group: Bool?
        /// All messages of the chat that are here.
        var messages: Int
        /// Sent from this device and on the relay's disk; of these, delivered to and read by all other members.
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
            if let message, let chat { return try await ask(message, in: chat) }
            let (state, account) = try ClientState.inspect(client.directory)
            let report = Report(
                user: account.userName, userID: account.user, device: account.device, deviceName: account.deviceName, relay: account.relay,
                state: client.directory.path, cursor: try state.cursor(), highestClientMessageID: try state.highestClientMessageID(),
                outbox: try state.outboxCount(), deadLetters: try state.deadLetters().count, lateArrivals: try state.lateArrivals(),
                chats: try state.chats().map {
                    Chat(
                        chat: $0.chat, with: $0.with, group: $0.kind == .group ? true : nil, messages: $0.messages, sent: $0.sent,
                        delivered: $0.delivered, read: $0.read,
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
