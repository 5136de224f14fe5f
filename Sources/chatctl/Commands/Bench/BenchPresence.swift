import ArgumentParser
import RelayModel

/// `chatctl bench presence`
struct BenchPresence: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presence", abstract: "Devices that say that they are there, and one user who comes and goes.",
        discussion: """
            Connects a device of each user and measures three times for as long: while they do nothing, while all take part in presence with their heartbeats, \
            and while, besides, one user more, who has up to \(Limits.contacts) of them as contacts, comes and goes a hundred times a minute.
            """,
        examples: ["bench presence --users 1000 --seconds 20"])

    @Option(help: ArgumentHelp("Users, with a device each.", valueName: "count"))
    var users = 200

    @Option(help: ArgumentHelp("Contacts of each of them; an even number.", valueName: "count"))
    var contacts = 20

    @Option(help: ArgumentHelp("How long each of the three is measured.", valueName: "seconds"))
    var seconds = 10

    @OptionGroup var options: BenchOptions

    func validate() throws {
        try BenchBounds.check("--users", users, 4...BenchBounds.connections.upperBound)
        try BenchBounds.check("--contacts", contacts, 2...min(Limits.contacts - 2, users - 2))
        guard contacts % 2 == 0 else { throw ValidationError("--contacts takes an even number: as many before a user as behind") }
        try BenchBounds.check("--seconds", seconds, 1...200)
    }

    func run() async throws {
        let load = PresenceLoad(users: users, contacts: contacts, seconds: seconds)
        try await options.run(connections: users + 1) { try await load.run($0, $1, $2) }
    }
}
