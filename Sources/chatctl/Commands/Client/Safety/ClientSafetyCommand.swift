import ArgumentParser
import RelayClient
import RelayCrypto
import RelayModel

/// `chatctl client safety`
struct ClientSafetyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "safety",
        abstract: "Compare safety numbers, so that the relay cannot pass off a device of its own as a friend's.",
        discussion: """
            Both people see the same sixty digits when both see the same devices of both. Compare them over the telephone or side by side, never over this relay. What \
            was verified are the devices, not the name: when the other one's devices change, nothing is sent to them until the numbers were compared again.
            """,
        subcommands: [ClientSafetyShowCommand.self, ClientSafetyVerifyCommand.self, ClientSafetyForgetCommand.self])
}

/// The number and how it stands, as it is printed.
struct SafetyReport: Codable {
    var user: String
    /// Twelve groups of five digits.
    var safetyNumber: String
    /// `no`, `yes`, or `changed`.
    var verified: String
    var verifiedAt: Timestamp?
    var devices: Int

    init(_ name: String, _ user: UserID, in state: ClientState, _ account: Account) throws {
        self.user = name
        safetyNumber = try state.safetyNumber(with: user, of: account).description
        devices = try state.devices(of: user).filter(\.active).count
        switch try state.verification(of: user) {
        case .no: verified = "no"
        case .yes(let since): (verified, verifiedAt) = ("yes", since)
        case .changed(let since): (verified, verifiedAt) = ("changed", since)
        }
    }
}

extension Page {
    mutating func safety(_ report: SafetyReport) {
        let verdict =
            switch report.verified {
            case "yes": Cell("yes", .good)
            case "changed": Cell("their devices have changed since: nothing is sent until you compare again", .bad)
            default: Cell("no")
            }
        pairs([("user", Cell(report.user, .strong)), ("devices", Cell(Figures.count(report.devices))), ("verified", verdict)])
        blank()
        for row in report.safetyNumber.split(separator: " ").chunks(of: 4) { line("  " + row.joined(separator: " ")) }
    }
}

extension Array {
    fileprivate func chunks(of count: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: self.count, by: count).map { self[$0..<Swift.min($0 + count, self.count)] }
    }
}

extension ClientOptions {
    /// Somebody whose devices this device knows.
    func person(_ typed: String, in state: ClientState) throws -> (name: String, user: UserID) {
        let name: String
        do { name = try UserName(typed).text } catch { throw ClientError.userName(error.description) }
        guard let user = try state.user(named: name), try !state.devices(of: user).filter(\.active).isEmpty else {
            throw ClientError.request("this device knows no devices of \(name)", hint: "exchange a message with \(name) first")
        }
        return (name, user)
    }
}
