import RelayCrypto
import RelayModel
import RelayStorage

/// A device's keys, looked at just now.
package struct KeyCheck: Sendable {
    package var device: DeviceRow
    /// Nil when the user was removed.
    package var userName: UserName?
    /// As ``Hashing/fingerprint(of:)`` shows them.
    package var identityFingerprint: String
    package var agreementFingerprint: String
    /// The identity key vouches for the agreement key, and that is one that may be used.
    package var signatureValid: Bool

    init(_ row: KeyRow) {
        let keys = row.device.keys
        device = row.device
        userName = row.userName
        identityFingerprint = Hashing.fingerprint(of: keys.identityKey)
        agreementFingerprint = Hashing.fingerprint(of: keys.agreementKey)
        signatureValid = Signing.verifyAgreement(
            identityKey: keys.identityKey, agreementKey: keys.agreementKey, signature: keys.agreementSignature)
    }
}

// Keys for operators. Signatures were checked when devices were enrolled; checked again, they show a store that was tampered with.
extension Directory {
    /// Devices with their keys in the order in which they were enrolled, of one user or of all, each checked.
    package func keys(ofUser name: String?, after device: DeviceID?, activeOnly: Bool, limit: Int) async throws(DirectoryError) -> [KeyCheck] {
        var user: UserID?
        if let name { user = try await find(name).id }
        let rows = try await readers.look { [user] in try $0.keys(of: user, after: device, activeOnly: activeOnly, limit: limit) }
        var checks: [KeyCheck] = []
        checks.reserveCapacity(rows.count)
        for row in rows {
            checks.append(KeyCheck(row))
            if checks.count.isMultiple(of: Limits.keyChecksAtOnce) { await Task.yield() }
        }
        return checks
    }

    /// A device with its keys, also a revoked one.
    package func keys(of device: DeviceID) async throws(DirectoryError) -> KeyCheck {
        guard let row = try await readers.look({ try $0.keys(of: device) }) else { throw .rejected(.deviceUnknown) }
        return KeyCheck(row)
    }
}
