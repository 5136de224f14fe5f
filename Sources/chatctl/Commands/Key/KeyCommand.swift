import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key`
struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Public keys of devices, and whether they hold together.",
        subcommands: [KeyListCommand.self, KeyShowCommand.self, KeyAuditCommand.self])
}

extension Page {
    mutating func keys(_ keys: [KeyRecord]) {
        table(
            ["DEVICE", "USER", "NAME", "STATE", "SIGNATURE", "ENROLLED", "IDENTITY", "AGREEMENT"],
            keys.map { key in
                [
                    Cell(key.device.description), Cell(key.user ?? "", .strong), Cell(key.name ?? ""), state(of: key), signature(of: key),
                    Cell(Figures.time(key.enrolledAt)), Cell(key.identityFingerprint), Cell(key.agreementFingerprint, .faint),
                ]
            })
    }

    mutating func key(_ key: KeyRecord) {
        pairs([
            ("device", Cell(key.device.description, .strong)), ("user", Cell(key.user ?? "")), ("name", Cell(key.name ?? "")),
            ("state", state(of: key)), ("enrolled", Cell(Figures.time(key.enrolledAt))), ("identity key", Cell(key.identityFingerprint)),
            ("agreement key", Cell(key.agreementFingerprint)), ("signature", signature(of: key)),
        ])
    }

    private func state(of key: KeyRecord) -> Cell { key.revoked ? Cell("revoked", .faint) : Cell("active") }

    private func signature(of key: KeyRecord) -> Cell { key.signatureValid ? Cell("right", .good) : Cell("WRONG", .bad) }
}
