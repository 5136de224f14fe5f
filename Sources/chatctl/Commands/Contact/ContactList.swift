import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl contact list`
struct ContactListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List a user's contacts, requests and blocks.",
        discussion: "How it is, whatever the two are told of it. The labels that users give their contacts are their own business and are not shown.",
        examples: ["contact list --user alice --state incoming"])

    @Option(help: ArgumentHelp("Whose.", valueName: "user"), completion: .users)
    var user: String

    @Option(help: ArgumentHelp("Only those that stand like this to the user.", valueName: "state"))
    var state: ContactStanding?

    @Option(help: ArgumentHelp("Continue behind this user's number.", valueName: "number"))
    var after: UserID?

    @Option(help: ArgumentHelp("List at most so many, 1 to 500.", valueName: "count"))
    var limit: Int?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(ContactList(user: user, state: state, after: after, limit: limit))
        guard !reply.contacts.isEmpty || global.json else {
            Talk.say(after == nil ? "There are none. Introduce two users: chatctl contact add \(user) NAME --reason TEXT" : "There are no more.")
            return
        }
        try global.output.show(reply) { $0.contacts(reply.contacts) }
        if !global.json, let next = reply.next { Talk.hint("there may be more: --after \(next)") }
    }
}

extension Page {
    mutating func contacts(_ contacts: [ContactRecord]) {
        table(
            ["USER", "STATE", "OTHER", "SINCE", "ID"],
            contacts.map { contact in
                [
                    Cell(contact.user, .strong), state(of: contact), Cell(contact.peer, .strong), Cell(contact.since.map(Figures.time) ?? ""),
                    Cell(contact.peerID.description, .faint),
                ]
            })
    }

    private func state(of contact: ContactRecord) -> Cell {
        switch contact.state {
        case .accepted: Cell(contact.state.words, .good)
        case .blocks, .blocked, .mutual: Cell(contact.state.words, .bad)
        case .requested, .incoming, .ignored: Cell(contact.state.words)
        }
    }
}
