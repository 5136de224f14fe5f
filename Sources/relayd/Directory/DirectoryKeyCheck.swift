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
    /// As in ``KeyRow``.
    package var state: DeviceKeysState?
    package var keys: [DeviceKeyRow]

    init(_ row: KeyRow) {
        let keys = row.device.keys
        device = row.device
        userName = row.userName
        state = row.state
        self.keys = row.keys
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
        let now = clock.now()
        return await check(
            try await readers.look { [user] in try $0.keys(of: user, after: device, activeOnly: activeOnly, limit: limit, at: now) })
    }

    /// Devices that are low on one-time prekeys, as ``Reader/lowOnPrekeys(of:after:limit:scan:)`` finds them, each checked.
    package func keysLowOnPrekeys(
        ofUser name: String?, after device: DeviceID?, limit: Int
    ) async throws(DirectoryError) -> (keys: [KeyCheck], next: DeviceID?) {
        var user: UserID?
        if let name { user = try await find(name).id }
        let now = clock.now()
        let (rows, next) = try await readers.look { [user] reader in
            let (devices, next) = try reader.lowOnPrekeys(of: user, after: device, limit: limit)
            return (try devices.compactMap { try reader.keyRow(of: $0, at: now) }, next)
        }
        return (await check(rows), next)
    }

    private func check(_ rows: [KeyRow]) async -> [KeyCheck] {
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
        let now = clock.now()
        guard let row = try await readers.look({ try $0.keyRow(of: device, at: now) }) else { throw .rejected(.deviceUnknown) }
        return KeyCheck(row)
    }

    // MARK: Taking keys away

    /// An active device with its keys, for what an operator is about to do.
    package func planKeyChange(of device: DeviceID) async throws(DirectoryError) -> KeyCheck {
        let check = try await keys(of: device)
        guard !check.device.revoked else { throw .rejected(.deviceUnknown) }
        return check
    }

    /// Takes prekeys away from a device. When this returns nobody is given them any more, and whoever is online is being told.
    package func revokeKeys(of device: DeviceID, _ kinds: [RevokeKeys.Kind], actor: Actor) async throws(DirectoryError) -> KeysRevoked {
        guard
            case .keysRevoked(let revoked) = try await perform(
                .revokeKeys(RevokeKeys(device: device, kinds: kinds)), actor: actor, telling: true)
        else { throw .storeFailed }
        return revoked
    }

    /// Ends the grace of keys that a device has replaced.
    /// - Returns: how many.
    package func expireKeys(of device: DeviceID, prekeys: Bool, actor: Actor) async throws(DirectoryError) -> Int {
        guard case .keysExpired(let count) = try await perform(.expireKeys(ExpireKeys(device: device, prekeys: prekeys)), actor: actor) else {
            throw .storeFailed
        }
        return count
    }

    /// What operators did about keys, newest first.
    package func auditOfKeys(limit: Int) async throws(DirectoryError) -> [AuditRow] {
        try await readers.look { try $0.auditOfKeys(limit: limit) }
    }

    /// The one-time prekeys of a device that nobody has got yet.
    package func oneTimePrekeys(of device: DeviceID) async throws(DirectoryError) -> [OneTimePrekey] {
        try await readers.look { try $0.oneTimePrekeys(of: device) }
    }
}
