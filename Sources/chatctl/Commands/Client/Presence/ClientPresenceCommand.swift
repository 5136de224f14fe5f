import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client presence`
struct ClientPresenceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presence",
        abstract: "Which contacts are online, and what they may know of this user.",
        discussion: """
            Contacts who have accepted each other see whether the other one is online, and else when they were last seen. Who hides something does not see it \
            of others either; somebody who hides, or blocks, looks like somebody who is never there.
            """,
        subcommands: [
            ClientPresenceListCommand.self, ClientPresenceGroupCommand.self, ClientPresenceHideCommand.self, ClientPresenceShowCommand.self,
        ],
        defaultSubcommand: ClientPresenceListCommand.self)
}

/// Somebody's presence as it is printed.
struct ContactPresenceReport: Codable {
    var user: String
    var online: Bool
    /// Left out when the relay does not say.
    var lastSeen: Timestamp?

    init(_ presence: KnownPresence) {
        user = presence.name ?? presence.user.description
        online = presence.isOnline
        lastSeen = presence.lastSeen
    }

    var words: String { online ? "online" : lastSeen.map { "last seen \(Figures.time($0))" } ?? "offline" }
    var line: String { Printable.line("\(user): \(words)") }
}

/// What this user shares, as it is printed.
struct SharingReport: Codable {
    var status: Bool
    var lastSeen: Bool

    init(_ sharing: PresenceSharing) {
        status = sharing.status
        lastSeen = sharing.lastSeen
    }
}

extension Page {
    mutating func presence(_ reports: [ContactPresenceReport]) {
        table(
            ["USER", "STATE", "LAST SEEN"],
            reports.map { report in
                [
                    Cell(report.user, .strong), report.online ? Cell("online", .good) : Cell("offline", .faint),
                    Cell(report.lastSeen.map(Figures.time) ?? ""),
                ]
            })
    }

    mutating func sharing(_ report: SharingReport) {
        pairs([
            ("online status", Cell(report.status ? "contacts see it" : "hidden")),
            ("last seen", Cell(report.status && report.lastSeen ? "contacts see it" : "hidden")),
        ])
    }
}
