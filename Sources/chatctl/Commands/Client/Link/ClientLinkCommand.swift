import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client link`
struct ClientLinkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link",
        abstract: "Add a new device with one that you have, without the operator.",
        discussion: """
            Any device can add another one: `start` on the old device shows a code, `join` with it on the new device shows a number, which is typed on the old \
            one. What the old device then gives is sealed for the new one; the relay cannot read it.
            """,
        subcommands: [ClientLinkStartCommand.self, ClientLinkJoinCommand.self])
}

/// The code, as it is printed.
struct LinkIssuedReport: Codable {
    var link: String
    var code: String
    var expiresAt: Timestamp
}

/// What `join` prints first.
struct LinkNumberReport: Codable {
    /// Six digits.
    var number: String
}

/// What became of a link, on either device.
struct LinkReport: Codable {
    var user: String
    var userID: UserID
    /// The new device.
    var device: DeviceID
    var deviceName: String
    var relay: String
    var people: Int
    var chats: Int
    /// The keys of the history were wanted.
    var history: Bool
    /// Messages from before whose keys were given.
    var messages: Int
    /// On the old device: messages whose keys it did not keep; the new one will not read them.
    var messagesWithoutKey: Int?
    /// The device is there, but did not get (all of) this.
    var problem: String?

    init(_ account: Account, device: DeviceID, named name: String, _ gift: LinkGift?) {
        user = account.userName
        userID = account.user
        self.device = device
        deviceName = name
        relay = account.relay
        people = gift?.people ?? 0
        chats = gift?.chats ?? 0
        history = gift?.history ?? false
        messages = gift?.messages ?? 0
    }
}

extension Page {
    mutating func link(_ report: LinkReport, gave: Bool) {
        line("“\(report.deviceName)” is now \(report.user)'s device on \(report.relay).", .good)
        var pairs: [(String, Cell)] = [("device", Cell(report.device.description))]
        if report.problem == nil {
            let without = report.messagesWithoutKey ?? 0
            let rest = without > 0 ? "; \(Figures.count(without)) from before keys were kept stay here" : ""
            let history =
                report.history
                ? "keys of \(Figures.number(report.messages, "message"))\(rest)" : "no keys: what was sent before cannot be read there"
            pairs.append(
                (gave ? "gave" : "got", Cell("\(Figures.number(report.people, "person", "people")), \(Figures.number(report.chats, "chat"))")))
            pairs.append(("history", Cell(history)))
        }
        self.pairs(pairs)
    }
}
