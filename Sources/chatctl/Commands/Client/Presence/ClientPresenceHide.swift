import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client presence hide`
struct ClientPresenceHideCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hide", abstract: "Contacts do not see any more whether this user is online, nor when they were last seen.",
        discussion: "Holds at once, for all devices of the user. The relay forgets when the user was last seen.",
        examples: ["client presence hide --last-seen --state ~/phone"])

    @Flag(name: .customLong("last-seen"), help: "Only when the user was last seen.")
    var lastSeen = false

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await ClientPresenceShowCommand.change(client) { session throws(ClientError) in
            try await session.sharePresence(status: lastSeen ? nil : false, lastSeen: lastSeen ? false : nil)
        }
    }
}

/// `chatctl client presence show`
struct ClientPresenceShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Contacts see again whether this user is online, and when they were last seen.",
        examples: ["client presence show --state ~/phone"])

    @Flag(name: .customLong("without-last-seen"), help: "Only whether the user is online.")
    var withoutLastSeen = false

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await Self.change(client) { session throws(ClientError) in
            try await session.sharePresence(status: true, lastSeen: !withoutLastSeen)
        }
    }

    static func change(
        _ client: ClientOptions, _ body: (Session) async throws(ClientError) -> PresenceSharing
    ) async throws {
        try await translatingClientErrors {
            let session = try Session(client.directory)
            do {
                let report = SharingReport(try await body(session))
                await session.close()
                try client.output.show(report) { $0.sharing(report) }
            } catch {
                await session.close()
                throw error
            }
        }
    }
}
