import ArgumentParser
import RelayClient
import RelayModel

/// `chatctl client delete`
struct ClientDeleteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete messages of a chat.",
        discussion: """
            By their numbers, as `history` prints them in SEQ. Without --for-everyone they go from this user's devices only. For everyone one deletes one's own \
            messages, or as an admin of a group anybody's. A client that has a message already cannot be forced to forget it; this one and its like do.
            """,
        examples: ["client delete 3 --chat bob --for-everyone --state ~/phone"])

    @Argument(help: ArgumentHelp("The messages' numbers in the chat.", valueName: "seq"))
    var seqs: [UInt64]

    @Option(help: ArgumentHelp("The other user, the group's title, or the chat's number.", valueName: "chat"))
    var chat: String

    @Flag(name: .customLong("for-everyone"), help: "Delete them for all members.")
    var forEveryone = false

    @OptionGroup var options: ClientChange.Options

    func validate() throws {
        if seqs.isEmpty || seqs.contains(0) { throw ValidationError("give the numbers of messages, from 1") }
    }

    func run() async throws {
        let (seqs, chat, forEveryone) = (seqs, chat, forEveryone)
        try await ClientChange.run(options, chat) { session throws(ClientError) in
            let found = try session.read { state throws(ClientError) in try state.findChat(chat) }
            return try session.delete(seqs, in: found, forEveryone: forEveryone)
        } done: { _ in
            "\(Figures.number(Set(seqs).count, "message")) deleted \(forEveryone ? "for everyone" : "on this user's devices")."
        }
    }
}
