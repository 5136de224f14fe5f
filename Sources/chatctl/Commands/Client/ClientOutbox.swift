import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client outbox`
struct ClientOutboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "outbox", abstract: "List the messages that the relay does not have: waiting ones and dead letters.")

    @Flag(name: .customLong("retry-dead"), help: "Put the dead letters back into the outbox; the next `send` or `listen` tries them again.")
    var retryDead = false

    @OptionGroup var client: ClientOptions

    struct Waiting: Codable {
        var id: Int64
        var to: String
        var text: String
        var writtenAt: Timestamp
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
            let report = Report(
                waiting: try state.outbox().map { Waiting(id: $0.id, to: $0.recipient, text: $0.text, writtenAt: $0.writtenAt) },
                dead: try state.deadLetters().map { DeadLetterReport($0) }, retried: retried)
            if let retried, !client.rendering.json { Talk.say("\(Figures.number(retried, "dead letter")) put back.") }
            guard !report.waiting.isEmpty || !report.dead.isEmpty || client.rendering.json else {
                Talk.say("The outbox is empty.")
                return
            }
            try client.output.show(report) { page in
                page.table(
                    ["WRITTEN", "TO", "STATE", "TEXT"],
                    report.waiting.map { [Cell(Figures.time($0.writtenAt), .faint), Cell($0.to, .strong), "waiting", Cell($0.text)] }
                        + report.dead.map { [Cell(Figures.time($0.writtenAt), .faint), Cell($0.to, .strong), Cell($0.code, .bad), Cell($0.text)] })
            }
        }
    }
}
