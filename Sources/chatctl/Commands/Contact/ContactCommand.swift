import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl contact`
struct ContactCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "contact",
        abstract: "Who may write to whom.",
        subcommands: [ContactListCommand.self, ContactAddCommand.self])
}

extension ContactStanding: ExpressibleByArgument {}

extension ContactStanding {
    /// From the user's side, in words.
    var words: String {
        switch self {
        case .requested: "asked, not accepted"
        case .incoming: "is asked"
        case .accepted: "contact"
        case .ignored: "is asked, ignores"
        case .blocks: "blocks"
        case .blocked: "is blocked"
        case .mutual: "both block"
        }
    }
}
