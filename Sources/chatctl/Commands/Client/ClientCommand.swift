import ArgumentParser

/// `chatctl client`
struct ClientCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "A scriptable client: one device in a state directory.",
        discussion: """
            Speaks the client protocol, so it needs no access to the control socket. The state directory holds the device's keys, its outbox and its \
            history; it has mode 0700, and one process works with it at a time. `history`, `status`, `outbox`, `group list`, `group show`, `contacts list`, `safety show` and `keys show` only look, also \
            while another one works.
            """,
        subcommands: [
            ClientEnrolCommand.self, ClientLinkCommand.self, ClientSendCommand.self, ClientListenCommand.self, ClientHistoryCommand.self,
            ClientDeleteCommand.self,
            ClientStatusCommand.self, ClientOutboxCommand.self, ClientGroupCommand.self, ClientContactsCommand.self,
            ClientSafetyCommand.self, ClientKeysCommand.self, ClientPresenceCommand.self,
        ])
}
