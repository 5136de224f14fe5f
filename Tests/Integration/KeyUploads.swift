import Foundation
import RelayCrypto
import RelayModel
import RelayTestSupport

/// A device's prekeys, uploaded by hand. Blocks.
enum KeyUploads {
    /// - Parameters:
    ///   - agreement: a new agreement key, too.
    ///   - signed, lastResort: the id of the prekey; nil for none.
    static func upload(
        _ device: WireDevice, agreement: Bool = false, signed: UInt64? = nil, lastResort: UInt64? = nil, oneTime: ClosedRange<UInt64>? = nil
    ) throws {
        var fields: [String] = []
        if agreement {
            let key = newKey()
            let signature = device.secrets.sign(Signing.agreementMessage(agreementKey: key))
            fields.append(#""agreementKey": "\#(base64(key))", "agreementSignature": "\#(base64(signature))""#)
        }
        for (name, kind, id) in [("signedPrekey", Signing.PrekeyKind.signed, signed), ("lastResortPrekey", .lastResort, lastResort)] {
            guard let id, let number = DeviceID(device.id) else { continue }
            let key = newKey()
            let signature = device.secrets.sign(Signing.prekeyMessage(kind, device: number, id: id, key: key))
            fields.append(#""\#(name)": {"id": "\#(id)", "key": "\#(base64(key))", "signature": "\#(base64(signature))"}"#)
        }
        if let oneTime {
            fields.append(#""oneTimePrekeys": [\#(oneTime.map { #"{"id": "\#($0)", "key": "\#(base64(newKey()))"}"# }.joined(separator: ", "))]"#)
        }
        let reply = try RawConnection(port: device.port).json(
            "PUT", "/v1/devices/\(device.id)/keys", "{\(fields.joined(separator: ", "))}", headers: device.authorization)
        guard reply.status == 200 else { throw SupportFailure("the upload was answered with \(reply.status): \(reply.text)") }
    }

    private static func newKey() -> [UInt8] { DeviceSecrets.generate(SystemEntropy()).publicKeys.agreementKey }

    private static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
}
