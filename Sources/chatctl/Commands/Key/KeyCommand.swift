import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl key`
struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Public keys of devices, and whether they hold together.",
        subcommands: [KeyListCommand.self, KeyShowCommand.self, KeyAuditCommand.self, KeyRevokeCommand.self, KeyExpireCommand.self])
}

extension Page {
    mutating func keys(_ keys: [KeyRecord]) {
        table(
            [
                "DEVICE", "USER", "NAME", "STATE", "SIGNATURE", "ENROLLED", "IDENTITY", "AGREEMENT", Column("VERSION", .right),
                Column("SIGNED", .right),
                Column("ONE-TIME", .right), Column("REPLACED", .right),
            ],
            keys.map { key in
                [
                    Cell(key.device.description), Cell(key.user ?? "", .strong), Cell(key.name ?? ""), state(of: key), signature(of: key),
                    Cell(Figures.time(key.enrolledAt)), Cell(key.identityFingerprint), Cell(key.agreementFingerprint, .faint),
                ] + prekeys(of: key)
            })
    }

    mutating func key(_ key: KeyRecord) {
        pairs(
            [
                ("device", Cell(key.device.description, .strong)), ("user", Cell(key.user ?? "")), ("name", Cell(key.name ?? "")),
                ("state", state(of: key)), ("enrolled", Cell(Figures.time(key.enrolledAt))), ("identity key", Cell(key.identityFingerprint)),
                ("agreement key", Cell(key.agreementFingerprint)), ("signature", signature(of: key)),
            ] + prekeysInFull(of: key))
    }

    /// The agreement key's version, the age of the signed prekey, how many one-time prekeys are left, and how many replaced keys are valid still.
    private func prekeys(of key: KeyRecord) -> [Cell] {
        guard let prekeys = key.prekeys else { return ["", "", "", ""] }
        let signed = prekeys.signedPrekey == nil ? "none" : prekeys.signedPrekeySince.map { Figures.span(now - $0) } ?? "yes"
        return ["\(prekeys.agreementVersion)", Cell(signed), oneTime(prekeys), "\(prekeys.replaced.count)"]
    }

    /// A device that never uploaded any does not run out of them.
    private func oneTime(_ prekeys: PrekeyRecord) -> Cell {
        guard prekeys.highestOneTimeID != nil else { return "" }
        return Cell("\(prekeys.oneTimePrekeys)", prekeys.oneTimePrekeys < Limits.lowPrekeys ? .bad : .plain)
    }

    private func held(_ id: UInt64?, _ since: Timestamp?) -> Cell {
        guard let id else { return "none" }
        return Cell("number \(id)" + (since.map { ", for \(Figures.span(now - $0))" } ?? ""))
    }

    private func prekeysInFull(of key: KeyRecord) -> [(key: String, value: Cell)] {
        guard let prekeys = key.prekeys else { return [] }
        let oneTime = prekeys.highestOneTimeID.map { "\(prekeys.oneTimePrekeys) left, up to number \($0)" } ?? "none, and never any"
        return [
            ("agreement version", Cell("\(prekeys.agreementVersion)" + (prekeys.agreementSince.map { ", for \(Figures.span(now - $0))" } ?? ""))),
            ("signed prekey", held(prekeys.signedPrekey, prekeys.signedPrekeySince)),
            ("last-resort prekey", held(prekeys.lastResortPrekey, prekeys.lastResortPrekeySince)),
            ("one-time prekeys", Cell(oneTime, self.oneTime(prekeys).tone)),
        ]
            + prekeys.replaced.map { key in
                (
                    "replaced",
                    Cell("\(key.kind.rawValue) \(key.id), valid until \(Figures.time(key.validUntil)) (in \(Figures.span(key.validUntil - now)))")
                )
            }
    }

    private func state(of key: KeyRecord) -> Cell { key.revoked ? Cell("revoked", .faint) : Cell("active") }

    private func signature(of key: KeyRecord) -> Cell { key.signatureValid ? Cell("right", .good) : Cell("WRONG", .bad) }
}
