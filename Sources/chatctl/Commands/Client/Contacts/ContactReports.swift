import RelayClient
import RelayModel

/// A contact as the `contacts` commands print it.
struct ContactReport: Codable {
    struct Conflict: Codable {
        /// What was decided on this device, in this order.
        var decided: [String]
        /// What that would make of the contact.
        var mine: String
        var relay: String
    }
    var name: String
    /// Left out while the relay has not said who that is.
    var user: UserID?
    /// `none`, `requested`, `incoming`, `accepted`, `ignored`, `blocked_by_me`, `blocked_by_them` or `blocked_by_both`: with what was decided on this
    /// device; with a conflict as the relay has it.
    var state: String
    /// The user's own label; left out when there is none.
    var category: String?
    /// Decisions that the relay does not have yet; left out when there are none.
    var waiting: [String]?
    var conflict: Conflict?

    init(_ contact: KnownContact) {
        name = contact.name
        user = contact.user
        state = contact.state.word
        category = contact.category.isEmpty ? nil : contact.category
        let decided = contact.decisions.map(\.words)
        if contact.isInConflict {
            conflict = Conflict(decided: decided, mine: contact.wanted.word, relay: contact.relayState.word)
        } else if !decided.isEmpty {
            waiting = decided
        }
    }
}

/// What became of a decision.
struct ContactOutcome: Codable {
    var name: String
    /// `queued`, `done`, `conflict` or `refused`.
    var reached: String
    /// One of the relay's error codes, with `refused`.
    var code: String?
    var reason: String?
    /// As this device has it now; left out when they are strangers.
    var contact: ContactReport?
}

extension ContactState {
    /// In JSON and on the command line, as in relay-protocol(7)'s filter.
    var word: String {
        switch self {
        case .none: "none"
        case .requested: "requested"
        case .incoming: "incoming"
        case .accepted: "accepted"
        case .ignored: "ignored"
        case .blockedByMe: "blocked_by_me"
        case .blockedByThem: "blocked_by_them"
        case .blockedByBoth: "blocked_by_both"
        }
    }
}

extension ContactDecision {
    /// `block`, `request, label “work”`.
    var words: String {
        [action.map { "\($0)" }, category.map { $0.isEmpty ? "no label" : "label “\($0)”" }].compactMap { $0 }.joined(separator: ", ")
    }
}

extension KnownContact {
    /// What is told when a contact changes.
    var sentence: String {
        switch state {
        case .none: "\(name) is not your contact"
        case .requested: "you asked \(name) to be a contact"
        case .incoming: "\(name) asks to be your contact: `chatctl client contacts accept \(name)`, or ignore, or block"
        case .accepted: "\(name) is your contact"
        case .ignored: "you ignore the request of \(name)"
        case .blockedByMe: "you block \(name)"
        case .blockedByThem: "\(name) blocks you"
        case .blockedByBoth: "you and \(name) block each other"
        }
    }
}

extension SessionEvent {
    /// Says that a decision came to nothing, so far or for good.
    func tellDecision() {
        switch self {
        case .conflict(let decision, let contact):
            Talk.say(
                "your decision about \(decision.name) (\(decision.words)) is in conflict with one of another device: \(contact.sentence)")
            Talk.hint("chatctl client contacts resolve \(decision.name), with --keep-relay or --repeat-mine")
        case .decisionRefused(let decision, let refusal):
            Talk.say("your decision about \(decision.name) (\(decision.words)) was not accepted: \(refusal.message) (\(refusal.code))")
        default: break
        }
    }
}

extension Page {
    mutating func contacts(_ contacts: [ContactReport]) {
        table(
            ["CONTACT", "STATE", "LABEL", "NOT ON THE RELAY", "ID"],
            contacts.map { contact in
                [
                    Cell(contact.name, .strong), state(of: contact), Cell(contact.category ?? ""), waiting(of: contact),
                    Cell(contact.user?.description ?? "", .faint),
                ]
            })
    }

    private func state(of contact: ContactReport) -> Cell {
        let text = contact.state.replacing("_", with: " ")
        switch contact.state {
        case "accepted": return Cell(text, .good)
        case "incoming": return Cell(text, .strong)
        case let state where state.hasPrefix("blocked"): return Cell(text, .bad)
        default: return Cell(text, .faint)
        }
    }

    private func waiting(of contact: ContactReport) -> Cell {
        if let conflict = contact.conflict { return Cell("conflict: \(conflict.decided.joined(separator: "; ")) was decided here", .bad) }
        return Cell(contact.waiting?.joined(separator: "; ") ?? "")
    }
}
