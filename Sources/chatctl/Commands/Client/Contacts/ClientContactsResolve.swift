import ArgumentParser
import RelayClient

/// `chatctl client contacts resolve`
struct ClientContactsResolveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Say what holds when devices of yours decided differently about somebody.",
        discussion: "`contacts list` shows both sides of a conflict.", examples: ["client contacts resolve bob --keep-relay --state ~/phone"])

    @Argument(help: ArgumentHelp("The other user's name.", valueName: "user"))
    var user: String

    @Flag(name: .customLong("keep-relay"), help: "As the relay has it; drop what was decided on this device.")
    var keepRelay = false

    @Flag(name: .customLong("repeat-mine"), help: "As it was decided on this device.")
    var repeatMine = false

    @OptionGroup var options: ClientContactsChange.Options

    func validate() throws {
        if keepRelay == repeatMine { throw ValidationError("give --keep-relay or --repeat-mine") }
    }

    func run() async throws {
        let (user, resolution) = (user, repeatMine ? ContactResolution.mine : .relay)
        try await ClientContactsChange.run(
            options, user, { session throws(ClientError) in try session.resolve(user, resolution) }, done: "The conflict about \(user) is resolved.")
    }
}
