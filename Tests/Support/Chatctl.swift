import Foundation
import RelayControl

/// The real chatctl against one relay's control socket.
package struct Chatctl: Sendable {
    package let socket: String
    package init(socket: String) { self.socket = socket }

    package struct Result: Sendable {
        package var status: ExitStatus
        package var standardOutput: String
        package var standardError: String
        package var succeeded: Bool { status == .exited(0) }

        package init(status: ExitStatus, standardOutput: String, standardError: String) {
            self.status = status
            self.standardOutput = standardOutput
            self.standardError = standardError
        }
    }

    /// Runs `chatctl ARGUMENTS` to its end.
    package func run(_ arguments: [String], input: [UInt8] = []) async throws -> Result {
        let (status, output, errors) = try await Subprocess.run(Programs.chatctl, arguments, environment: environment, input: input)
        return Result(status: status, standardOutput: output, standardError: errors)
    }

    package func run(_ arguments: String..., input: [UInt8] = []) async throws -> Result { try await run(arguments, input: input) }

    /// Runs `chatctl ARGUMENTS --json` and reads the reply; throws when it fails.
    package func json<Reply: Decodable>(_ arguments: [String], as reply: Reply.Type = Reply.self) async throws -> Reply {
        let result = try await run(arguments + ["--json"])
        guard result.succeeded else {
            throw SupportFailure("chatctl \(arguments.joined(separator: " ")) ended with \(result.status): \(result.standardError)")
        }
        return try JSONDecoder().decode(Reply.self, from: Data(result.standardOutput.utf8))
    }

    /// Starts `chatctl ARGUMENTS` and leaves it running.
    /// - Parameter input: nil: what is typed later.
    package func start(_ arguments: [String], input: [UInt8]? = []) throws -> Subprocess {
        try Subprocess(Programs.chatctl, arguments, environment: environment, input: input)
    }

    /// What a terminal that shows UTF-8 would set, plus where the relay is.
    package var environment: [String: String] {
        var environment = ProcessInfo.processInfo.environment
        environment["CHATCTL_SOCKET"] = socket
        environment["LC_ALL"] = "C.UTF-8"
        return environment
    }

    // The few calls that almost every test makes.

    package func addUser(_ name: String) async throws -> UserAdd.Reply { try await json(["user", "add", name]) }
    package func invite(_ user: String) async throws -> InviteIssued { try await json(["invite", "create", user]) }
    package func status() async throws -> Status.Reply { try await json(["status"]) }
    package func devices() async throws -> [DeviceRecord] { try await json(["device", "list"], as: DeviceList.Reply.self).devices }
}
