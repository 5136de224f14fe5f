import ArgumentParser
import RelayModel

/// `chatctl bench fanout`
struct BenchFanOut: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fanout", abstract: "Some members of one group send to all of it.",
        discussion: """
            All members have as many devices, and all of these are connected. Without --rate each sender has --window messages under way; a message is under way until its last copy has \
            arrived. CPU time is given for each delivered copy.
            """,
        examples: ["bench fanout --members 100"])

    @Option(help: ArgumentHelp("Members of the group, the senders included.", valueName: "count"))
    var members = 100

    @Option(help: ArgumentHelp("Devices of each member; the relay's devices_per_user must allow them.", valueName: "count"))
    var devices = 1

    @Option(help: ArgumentHelp("Members that send.", valueName: "count"))
    var senders = 1

    @Option(help: ArgumentHelp("Bytes of each body.", valueName: "bytes"))
    var size = 256

    @Option(help: ArgumentHelp("Messages per second over all senders. Without it: as many as --window lets through.", valueName: "count"))
    var rate: Int?

    @Option(help: ArgumentHelp("Messages of each sender under way.", valueName: "count"))
    var window = 4

    @Option(help: ArgumentHelp("How long to send.", valueName: "count"))
    var seconds = 10

    @OptionGroup var options: BenchOptions

    func validate() throws {
        try BenchBounds.check("--members", members, 2...Limits.chatMembers)
        try BenchBounds.check("--devices", devices, 1...Limits.devicesPerUserCeiling)
        try BenchBounds.check("--senders", senders, 1...min(members, FanOutLoad.mostSenders))
        try BenchBounds.check("--size", size, BenchBounds.size)
        try BenchBounds.check("--window", window, 1...Limits.sendsInFlight)
        try BenchBounds.check("--seconds", seconds, BenchBounds.seconds)
        if let rate { try BenchBounds.check("--rate", rate, BenchBounds.rate) }
    }

    func run() async throws {
        let load = FanOutLoad(members: members, devices: devices, senders: senders, bodyBytes: size, rate: rate, window: window, seconds: seconds)
        try await options.run(connections: members * devices) { try await load.run($0, $1, $2) }
    }
}
