import ArgumentParser
import RelayClient
import RelayControl
import RelayModel
import Synchronization

/// `chatctl client presence list`
struct ClientPresenceListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the contacts who are online or were last seen some time ago.",
        discussion: """
            Connects, and takes part in presence while it runs: contacts see this user online. A contact who is not listed is offline, and the relay says nothing \
            else of them. Messages that come meanwhile are received into the history.
            """,
        examples: ["client presence list --watch --state ~/phone"])

    @Flag(help: "Stay, and print a line for each change until it is ended.")
    var watch = false

    @Option(help: ArgumentHelp("End --watch after so long, in seconds.", valueName: "seconds"))
    var timeout: Double?

    @OptionGroup var client: ClientOptions

    struct Report: Codable {
        var contacts: [ContactPresenceReport]
    }

    func validate() throws {
        if let timeout, !(timeout > 0 && timeout < 1e9) { throw ValidationError("--timeout must be a positive number of seconds") }
    }

    func run() async throws {
        try await translatingClientErrors {
            var settings = SessionSettings()
            settings.presence = .watch
            let printer = watch ? PresencePrinter(client.output) : nil
            let session = try Session(client.directory, settings: settings) { printer?.handle($0) }
            await session.start()
            do {
                if let printer {
                    do throws(ClientError) {
                        try await session.wait(for: "changes", timeout: timeout.map { .milliseconds(Int64($0 * 1000)) }) { _ in printer.failed }
                    } catch {
                        guard case .timeout = error else { throw error }
                    }
                    await session.close()
                    return try printer.check()
                }
                // Names come with the contacts.
                try await session.wait(for: "presence", timeout: .seconds(60)) { session throws(ClientError) in
                    try session.presence != nil && session.isCaughtUp
                }
                let report = Report(contacts: try await session.presence?.map { ContactPresenceReport($0) } ?? [])
                await session.close()
                guard !report.contacts.isEmpty || client.rendering.json else {
                    Talk.say("Of no contact there is anything to tell.")
                    return
                }
                try client.output.show(report) { $0.presence(report.contacts) }
            } catch {
                await session.close()
                throw error
            }
        }
    }
}

/// Prints changes as they come. On the session's loop.
private final class PresencePrinter: Sendable {
    private let output: Output
    private let failure = Mutex<ControlError?>(nil)

    init(_ output: Output) { self.output = output }

    var failed: Bool { failure.withLock { $0 != nil } }

    func check() throws {
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    func handle(_ event: SessionEvent) {
        guard case .presence(let users, _) = event else { return }
        for presence in users {
            let report = ContactPresenceReport(presence)
            do throws(ControlError) { try output.stream(report, line: report.line) } catch { failure.withLock { $0 = error } }
        }
    }
}

/// `chatctl client presence group`
struct ClientPresenceGroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group", abstract: "List the members of a group who are online or were last seen some time ago.",
        discussion: "Asks the relay once. Only members who are contacts are listed: nobody else's presence is told.",
        examples: ["client presence group team --state ~/phone"])

    @Argument(help: ArgumentHelp("The group's title or number.", valueName: "group"))
    var group: String

    @OptionGroup var client: ClientOptions

    struct Report: Codable {
        var members: [ContactPresenceReport]
    }

    func run() async throws {
        try await translatingClientErrors {
            let session = try Session(client.directory)
            do {
                let target = try await session.read { state throws(ClientError) in try state.findGroup(group) }
                guard case .chat(let chat) = target else {
                    throw ClientError.request("“\(group)” still waits in the outbox", hint: "`chatctl client listen` sends it")
                }
                let report = Report(members: try await session.presence(in: chat).map { ContactPresenceReport($0) })
                await session.close()
                guard !report.members.isEmpty || client.rendering.json else {
                    Talk.say("Of no member there is anything to tell.")
                    return
                }
                try client.output.show(report) { $0.presence(report.members) }
            } catch {
                await session.close()
                throw error
            }
        }
    }
}
