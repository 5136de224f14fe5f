import RelayCrypto
import RelayModel
import RelayStorage

// What devices ask for: enrolment, tokens, other people's keys.
extension Directory {
    /// Spends an invite on a new device.
    package func enrol(code: String, deviceName: String, keys: DeviceKeySet) async throws(DirectoryError) -> Enrolled {
        guard let code = InviteCode(code) else { throw .rejected(.inviteUnknown) }
        let deviceName = try Directory.checked(deviceName, "device name", characters: Limits.deviceNameCharacters)
        guard Signing.verifyAgreement(identityKey: keys.identityKey, agreementKey: keys.agreementKey, signature: keys.agreementSignature) else {
            throw .signatureInvalid
        }
        let outcome = try await perform(
            .enrolDevice(EnrolDevice(inviteHash: code.hash, deviceName: deviceName, keys: keys, devicesPerUser: settings.devicesPerUser)),
            telling: true)
        guard case .enrolled(let enrolled) = outcome else { throw .storeFailed }
        return enrolled
    }

    /// Something for the device to sign. The same for a device that does not exist: nothing is told about who does.
    package func challenge(for device: DeviceID) -> IssuedChallenge { tokens.challenge(for: device) }

    /// Trades a signed challenge for a bearer token.
    package func token(device id: DeviceID, challenge: [UInt8], signature: [UInt8]) async throws(DirectoryError) -> IssuedToken {
        try tokens.check(challenge: challenge, for: id)
        guard let device = try await readers.look({ try $0.device(id) }), isActive(id) else { throw .deviceRevoked }
        let message = Signing.authenticationMessage(device: id, challenge: challenge)
        guard Signing.verify(signature: signature, message: message, publicKey: device.keys.identityKey) else { throw .signatureInvalid }
        // Only the device itself is told.
        if let refusal = refusal(of: id) { throw refusal }
        return tokens.issue(user: device.user, device: id)
    }

    /// A device with its public keys, also a revoked one: what it sent before can still be checked.
    package func anyDevice(_ id: DeviceID) async throws(DirectoryError) -> DeviceRow {
        guard let found = try await readers.look({ try $0.anyDevice(id) }) else { throw .rejected(.deviceUnknown) }
        return found
    }

    /// A user with their active devices and keys.
    package func userWithDevices(_ id: UserID) async throws(DirectoryError) -> UserDevices {
        guard let found = try await users([id]).first ?? nil else { throw .rejected(.userUnknown) }
        return found
    }

    package func userWithDevices(named name: String) async throws(DirectoryError) -> UserDevices { try await userWithDevices(find(name).id) }

    /// The operator's view of a user.
    func user(_ id: UserID) async throws(DirectoryError) -> UserDetails {
        let now = clock.now()
        let found = try await readers.look { reader in try reader.user(id).map { try Directory.details(of: $0, reader, now) } }
        guard let found else { throw .rejected(.userUnknown) }
        return found
    }

    /// Users with their active devices and keys, in the order asked for; nil for those that do not exist any more.
    package func users(_ ids: [UserID]) async throws(DirectoryError) -> [UserDevices?] {
        try await readers.look { reader in
            try ids.map { id in try reader.user(id).map { UserDevices(user: $0, devices: try reader.devices(of: id)) } }
        }
    }
}
