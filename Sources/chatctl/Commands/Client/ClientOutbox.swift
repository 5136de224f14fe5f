import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client outbox`
struct ClientOutboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "outbox", abstract: "List the messages that the relay does not have: waiting ones and dead letters.",
        examples: ["client outbox --state ~/phone", "client outbox --retry-dead --state ~/phone"])

    @Flag(name: .customLong("retry-dead"), help: "Put the dead letters back into the outbox; the next `send` or `listen` tries them again.")
    var retryDead = false

    @OptionGroup var client: ClientOptions

    struct Waiting: Codable {
        var id: Int64
        var to: String
        var text: String
        var writtenAt: Timestamp
        /// What it is, when it is no message.
        var command: String?
    }

    struct Report: Codable {
        var waiting: [Waiting]
        var dead: [DeadLetterReport]
        /// Put back by --retry-dead.
        var retried: Int?
    }

    func run() async throws {
        try await translatingClientErrors {
            let state: ClientState
            var retried: Int?
            if retryDead {
                state = try ClientState.open(client.directory).0
                retried = try state.retryDeadLetters()
            } else {
                state = try ClientState.inspect(client.directory).0
            }
            let (waiting, dead) = (try state.outbox(), try state.deadLetters())
            let report = Report(
                waiting: waiting.map { Waiting(id: $0.id, to: $0.recipient, text: $0.text, writtenAt: $0.writtenAt, command: $0.command?.name) },
                dead: dead.map { DeadLetterReport($0) }, retried: retried)
            if let retried, !client.rendering.json { Talk.say("\(Figures.number(retried, "dead letter")) put back.") }
            guard !report.waiting.isEmpty || !report.dead.isEmpty || client.rendering.json else {
                Talk.say("The outbox is empty.")
                return
            }
            try client.output.show(report) { page in
                page.table(
                    ["WRITTEN", "TO", "STATE", "TEXT"],
                    waiting.map {
                        [
                            Cell(Figures.time($0.writtenAt), .faint), Cell($0.recipient, .strong), "waiting",
                            Cell($0.command?.sentence($0.text) ?? $0.text),
                        ]
                    }
                        + dead.map {
                            [
                                Cell(Figures.time($0.writtenAt), .faint), Cell($0.recipient, .strong), Cell($0.code, .bad),
                                Cell($0.command?.sentence($0.text) ?? $0.text),
                            ]
                        })
            }
        }
    }
}
