import ArgumentParser
import RelayModel

/// `chatctl bench keys`
struct BenchKeys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "A device changes its key, and all contacts' devices are told.",
        discussion: """
            One user has contacts with as many devices each, and all of these are connected. Its device replaces its agreement key again and again, each \
            time when everybody has heard of the one before. CPU time is given for each device that is told.
            """,
        examples: ["bench keys --contacts 50"])

    @Option(help: ArgumentHelp("Contacts of the user whose key changes.", valueName: "count"))
    var contacts = 100

    @Option(help: ArgumentHelp("Devices of each user; the relay's devices_per_user must allow them.", valueName: "count"))
    var devices = 1

    @Option(help: ArgumentHelp("Changes, one after the other.", valueName: "count"))
    var changes = 10

    @OptionGroup var options: BenchOptions

    func validate() throws {
        try BenchBounds.check("--contacts", contacts, 1...Limits.contacts)
        try BenchBounds.check("--devices", devices, 1...Limits.devicesPerUserCeiling)
        try BenchBounds.check("--changes", changes, 1...Limits.keyChangesInWindow)
    }

    func run() async throws {
        let load = KeysLoad(contacts: contacts, devices: devices, changes: changes)
        try await options.run(connections: load.connections) { try await load.run($0, $1, $2) }
    }
}
