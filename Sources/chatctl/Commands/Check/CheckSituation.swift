import Glibc
import RelayControl
import RelayModel

/// What all checks start from: the relay, its configuration, and where its files are.
struct CheckSituation: Sendable {
    enum Relay: Sendable {
        case running(Status.Reply)
        case unreachable(ControlError)
    }

    var relay: Relay
    var control: ControlClient
    var socket: String
    /// In force; of the file when relayd does not answer. Nil: it is not known, ``configurationProblems`` say why.
    var configuration: ConfigShow.Reply?
    var configurationProblems: [String] = []
    /// Do what takes seconds, too: reading the store, and writing to the disk.
    var isThorough = true
    /// In front of the host's own paths such as `/proc` and `/etc`; tests put a directory there.
    var root = ""
    var now: Timestamp

    var status: Status.Reply? { if case .running(let status) = relay { status } else { nil } }

    func text(_ key: String) -> String? { configuration?.text(key) }

    func number(_ key: String) -> Int? {
        if case .number(let number)? = configuration?.options.first(where: { $0.name == key })?.value { number } else { nil }
    }

    func flag(_ key: String) -> Bool? {
        if case .flag(let flag)? = configuration?.options.first(where: { $0.name == key })?.value { flag } else { nil }
    }

    var storePath: String? { text("store.path") }

    /// The user that relayd runs as; of a stopped one the owner of its store.
    var owner: uid_t? {
        if let status, let process = FileFacts("/proc/\(status.processID)") { return process.owner }
        if let storePath, let store = FileFacts(storePath) { return store.owner }
        return getpwnam("relayd")?.pointee.pw_uid
    }

    /// Whether this process may look at and write what belongs to relayd.
    var isTrusted: Bool { geteuid() == 0 || geteuid() == owner }

    /// Asks the relay, or the program when it does not answer.
    /// - Parameters:
    ///   - configurationPath: of a stopped relay; nil: where relayd looks by itself.
    ///   - program: relayd; nil: beside chatctl, or where packages put it.
    static func find(_ global: GlobalOptions, configurationPath: String?, program: String?, isThorough: Bool) async -> CheckSituation {
        let control = global.control
        var situation = CheckSituation(
            relay: .unreachable(ControlError(.failed, "")), control: control, socket: global.socketPath, isThorough: isThorough,
            now: SystemWallClock().now())
        do throws(ControlError) {
            situation.relay = .running(try await control.call(Status()))
            situation.configuration = try await control.call(ConfigShow())
            return situation
        } catch {
            situation.relay = .unreachable(error)
        }
        do throws(ProgramFailure) {
            situation.configuration = try RelaydProgram.configuration(path: configurationPath, program: program)
        } catch {
            situation.configurationProblems = error.lines
        }
        return situation
    }
}
