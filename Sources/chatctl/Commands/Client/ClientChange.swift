import ArgumentParser
import RelayClient
import RelayControl
import RelayModel

/// What became of entries of the outbox.
struct ChangeOutcome: Codable {
    /// The user, the group's title, or the chat as it was named.
    var to: String
    var messages: Int
    /// How far everything has got that is not dead.
    var reached: String
    var dead: [DeadLetterReport]
    /// Of a new group.
    var chat: ChatID?
}

/// Queues changes and deletions, waits until the relay has them, and says what became of them.
struct ClientChange {
    /// What changes and deletions take besides what they change.
    struct Options: ParsableArguments {
        @Option(help: ArgumentHelp("Give up waiting after so long, as 30s, 5m or 1h; what is not sent stays in the outbox.", valueName: "span"))
        var timeout: Lifetime?

        @Flag(help: "Only write it into the outbox; the next `send` or `listen` sends it.")
        var later = false

        @OptionGroup var client: ClientOptions
    }

    /// - Parameters:
    ///   - subject: the group or chat, as the person named it.
    ///   - done: the sentence for people, given how many entries were accepted.
    static func run(
        _ options: Options, _ subject: String, _ queue: @Sendable (isolated Session) throws(ClientError) -> [Int64], done: (Int) -> String
    ) async throws {
        try await translatingClientErrors {
            let progress = SendProgress()
            let session = try Session(options.client.directory) { progress.handle($0) }
            do {
                let ids = try await queue(session)
                if options.later {
                    await session.close()
                    let outcome = ChangeOutcome(to: subject, messages: ids.count, reached: "queued", dead: [])
                    return try options.client.output.show(outcome) { $0.line("In the outbox; the next `send` or `listen` sends it.") }
                }
                progress.begin(ids)
                await session.start()
                try await session.wait(for: ids, .sent, timeout: options.timeout.map { .seconds($0.seconds) })
                let (dead, chat) = try await session.read { state throws(ClientError) -> ([DeadLetter], ChatID?) in
                    let dead = try state.deadLetters().filter { ids.contains($0.id) }
                    guard let first = ids.first else { return (dead, nil) }
                    return (dead, try state.place(of: first)?.chat)
                }
                await session.close()
                Talk.endProgress()
                try report(
                    ChangeOutcome(to: subject, messages: ids.count, reached: "sent", dead: dead.map { DeadLetterReport($0) }, chat: chat), dead,
                    options.client, done: done)
            } catch {
                await session.close()
                Talk.endProgress()
                throw error
            }
        }
    }

    /// Prints the outcome; throws when something became a dead letter.
    static func report(_ outcome: ChangeOutcome, _ dead: [DeadLetter], _ client: ClientOptions, done: (Int) -> String) throws {
        try client.output.show(outcome) { page in
            let good = outcome.messages - dead.count
            if good > 0 { page.line(done(good), .good) }
        }
        guard let first = dead.first else { return }
        let what =
            dead.count == 1 || first.command != nil
            ? "\(first.what) was" : "\(dead.count) of \(Figures.number(outcome.messages, "message")) to \(outcome.to) were"
        throw ControlError(
            .failed, "\(what) not accepted: \(first.reason) (\(first.code))",
            hint: "kept as a dead letter: chatctl client outbox --state \(client.directory.path) lists them, --retry-dead tries again")
    }
}
