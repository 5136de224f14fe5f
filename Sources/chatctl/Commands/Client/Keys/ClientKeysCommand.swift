import ArgumentParser
import RelayClient
import RelayCrypto
import RelayModel

/// `chatctl client keys`
struct ClientKeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "The device's own agreement keys, for which others seal what they send.",
        discussion: """
            The client replaces the key by itself when it is seven days old. The former one is kept until its grace is over and the mailbox has been received \
            after that; then its secret is deleted, and what was sealed for it opens nowhere any more.
            """,
        subcommands: [ClientKeysShowCommand.self, ClientKeysRotateCommand.self])
}

/// The keys as they are printed: never a secret.
struct ClientKeysReport: Codable {
    struct Key: Codable {
        /// As the relay counts; left out until it has said so.
        var version: UInt32?
        /// `current`, `former`, or `pending`: the relay may not have it yet.
        var state: String
        /// Left out when an older client drew it.
        var since: Timestamp?
        /// Of a former one: until when others may seal for it.
        var until: Timestamp?
        var fingerprint: String
    }
    var device: DeviceID
    var deviceName: String
    var keys: [Key]

    init(_ records: [AgreementKeyRecord], _ account: Account) {
        device = account.device
        deviceName = account.deviceName
        keys = records.map { record in
            var key = Key(
                version: record.version, state: "current", since: record.since.milliseconds > 0 ? record.since : nil,
                fingerprint: Hashing.fingerprint(of: record.agreementKey))
            switch record.stage {
            case .pending: key.state = "pending"
            case .current: break
            case .former(let until):
                key.state = "former"
                key.until = until
            }
            return key
        }
    }
}

extension Page {
    mutating func clientKeys(_ report: ClientKeysReport) {
        pairs([("device", Cell("\(report.deviceName) (\(report.device))", .strong))])
        blank()
        table(
            [Column("KEY", .right), "STATE", "SINCE", "GOOD UNTIL", "FINGERPRINT"],
            report.keys.map { key in
                let state =
                    switch key.state {
                    case "current": Cell("current", .good)
                    case "pending": Cell("not with the relay yet")
                    default: Cell("former", .faint)
                    }
                return [
                    Cell(key.version.map { "\($0)" } ?? "-"), state, Cell(key.since.map(Figures.time) ?? "not known"),
                    Cell(key.until.map(Figures.time) ?? ""), Cell(key.fingerprint, .faint),
                ]
            })
    }
}

extension KeyRefusal {
    /// For people.
    var sentence: String {
        switch self {
        case .signature: "the device did not sign them"
        case .identity: "its identity key is another one than before"
        case .older: "its agreement key is older than the one that is known"
        }
    }
}
