import ArgumentParser
import RelayControl

/// What the commands take that issue an invite.
struct InviteOptions: ParsableArguments {
    @Option(help: ArgumentHelp("When the invite expires: a number and s, m, h or d, up to 30d.", valueName: "span"))
    var expires: Lifetime?

    @Flag(inversion: .prefixedNo, help: "The link as a QR code. Without either: when the output is a terminal.")
    var qr: Bool?

    /// The code for a page, when one is wanted.
    func code(for invite: InviteIssued, _ output: Output) throws(ControlError) -> String? {
        guard !output.json, qr ?? output.terminal else { return nil }
        return try QRCode.render(invite.link, color: output.color, ascii: output.ascii, columns: output.columns)
    }
}
