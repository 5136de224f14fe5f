import ArgumentParser

/// `chatctl client contacts`
struct ClientContactsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "contacts",
        abstract: "Ask people to be contacts, answer requests, block.",
        discussion: """
            Where the relay's policy is that people ask first, messages pass once both are contacts. What is decided here is kept on disk first, so it can be \
            decided without a connection too; a block holds on this device at once. When another device decided otherwise meanwhile, nobody guesses: it is a \
            conflict, which `resolve` ends.
            """,
        subcommands: [
            ClientContactsListCommand.self, ClientContactsRequestCommand.self, ClientContactsAcceptCommand.self, ClientContactsIgnoreCommand.self,
            ClientContactsBlockCommand.self, ClientContactsUnblockCommand.self, ClientContactsDeleteCommand.self, ClientContactsLabelCommand.self,
            ClientContactsResolveCommand.self,
        ])
}
