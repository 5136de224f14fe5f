import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client contacts list`
struct ClientContactsListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the contacts, requests and blocks that this device knows.",
        discussion: "With what was decided on this device and the relay does not have yet, and with conflicts.",
        examples: ["client contacts list --only incoming --state ~/phone"])

    enum Filter: String, ExpressibleByArgument, CaseIterable {
        case requested, incoming, accepted, ignored, blocked, conflict

        func fits(_ contact: KnownContact) -> Bool {
            switch self {
            case .requested: contact.state == .requested
            case .incoming: contact.state == .incoming
            case .accepted: contact.state == .accepted
            case .ignored: contact.state == .ignored
            case .blocked: contact.state.isBlocked
            case .conflict: contact.isInConflict
            }
        }
    }

    @Option(help: "Only these.")
    var only: Filter?

    @Option(help: ArgumentHelp("Only those with this label.", valueName: "label"))
    var category: String?

    @OptionGroup var client: ClientOptions

    struct Report: Codable {
        var contacts: [ContactReport]
    }

    func run() async throws {
        try await translatingClientErrors {
            let (state, _) = try ClientState.inspect(client.directory)
            let found = try state.contacts().filter { contact in
                (only?.fits(contact) ?? true) && (category == nil || contact.category == category)
            }
            let report = Report(contacts: found.map { ContactReport($0) })
            guard !report.contacts.isEmpty || client.rendering.json else {
                Talk.say("There are no contacts.")
                return
            }
            try client.output.show(report) { $0.contacts(report.contacts) }
        }
    }
}
