import ArgumentParser
import RelayControl
import RelayModel

/// Days, or `forever`.
enum RetentionSpan: ExpressibleByArgument, Equatable {
    case days(Int)
    case forever

    init?(argument: String) {
        if argument == "forever" {
            self = .forever
        } else if argument.hasSuffix("d"), let days = Int(argument.dropLast()), RetentionPolicy.days.contains(days) {
            self = .days(days)
        } else {
            return nil
        }
    }

    var days: Int? { if case .days(let days) = self { days } else { nil } }
}

/// Bytes with K, M or G behind the number, or `any`.
enum RetentionSpace: ExpressibleByArgument, Equatable {
    case bytes(Int)
    case any

    init?(argument: String) {
        if argument == "any" {
            self = .any
            return
        }
        let factors: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
        guard let unit = argument.last, let factor = factors[unit], let number = Int(argument.dropLast()), number > 0 else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow, RetentionPolicy.bytes.contains(bytes) else { return nil }
        self = .bytes(bytes)
    }

    var bytes: Int? { if case .bytes(let bytes) = self { bytes } else { nil } }
}

/// `chatctl retention set`
struct RetentionSetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Change for how long messages stay.",
        discussion: """
            What is not named stays as it is. Nothing goes before the next purge; `chatctl retention plan` shows what that would take. \
            A new class begins with what holds for all others.
            """,
        examples: ["retention set --delivered 7d --undelivered 30d", "retention set --class board --undelivered 365d"])

    @Option(name: .customLong("class"), help: ArgumentHelp("The class of users. Without it: all that are in none.", valueName: "name"))
    var className: String?

    @Option(help: ArgumentHelp("How long messages stay that all devices have: 14d, or forever.", valueName: "span"))
    var delivered: RetentionSpan?

    @Option(help: ArgumentHelp("How long messages stay that a device has not got: 30d, or forever.", valueName: "span"))
    var undelivered: RetentionSpan?

    @Option(help: ArgumentHelp("A user's newest messages that stay: 10M, 1G, or any. Only what all devices have counts.", valueName: "size"))
    var space: RetentionSpace?

    @Flag(inversion: .prefixedNo, help: "Messages go as soon as all devices have them.")
    var onceDelivered: Bool?

    @Flag(help: "Remove the class; its users are in none then.")
    var remove = false

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        let changes = delivered != nil || undelivered != nil || space != nil || onceDelivered != nil
        if remove, className == nil { throw ValidationError("--remove needs --class: the policy of all others can be changed, not removed") }
        if remove, changes { throw ValidationError("--remove takes no policy") }
        if !remove, !changes { throw ValidationError("there is nothing to change: name --delivered, --undelivered, --space or --once-delivered") }
    }

    func run() async throws {
        let control = global.control
        var policy: RetentionPolicy?
        if !remove {
            let classes = try await control.call(RetentionShow()).classes
            var changed = (classes.first { $0.name == className ?? "" } ?? classes.first { $0.name.isEmpty })?.policy ?? .standard
            if let delivered { changed.deliveredDays = delivered.days }
            if let undelivered { changed.undeliveredDays = undelivered.days }
            if let space { changed.userBytes = space.bytes }
            if let onceDelivered { changed.onceDelivered = onceDelivered }
            policy = changed
        }
        let reply = try await control.call(RetentionSet(className: className, policy: policy, reason: reason))
        try global.output.show(reply) { $0.retention(reply.classes) }
        if !global.json { Talk.hint("chatctl retention plan shows what the next purge would take") }
    }
}
