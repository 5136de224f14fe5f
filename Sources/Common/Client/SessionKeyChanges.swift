import RelayCrypto
import RelayModel
import RelayWire

/// Keys of others that change while connected.
extension Session {
    /// The relay says that a device of a contact, or another one of this user's, has other keys than before. Taken only from the identity that is
    /// pinned; a change about somebody whom this device does not know is nothing to it, because it asks before it writes to them.
    func apply(_ change: Relay_V1_KeyChange, _ state: ClientState, _ effects: inout Effects) throws {
        let (user, device) = (UserID(change.userID), DeviceID(change.device.deviceID))
        if try change.deviceID > 0 && device != account.device && state.knowsUser(user) {
            keyChanges += 1
            knownRecipients = [:]
            if let refusal = try store(change, state) {
                effects.events.append(.keysRefused(user: user, name: try state.userName(user), device, refusal))
                if refusal == .identity {
                    unsafeUsers[user] = ("key_changed", "a device of \(try state.userName(user) ?? "\(user)") has another identity key than before")
                }
            } else {
                // What is wrong with another device of theirs shows again when that is looked at.
                unsafeUsers[user] = nil
            }
        }
        try notePushed(keysVersion: change.version, state, &effects)
    }

    /// Gives why the keys are not taken. An older key by itself is no reason to complain: a list can have been quicker than what is pushed.
    private func store(_ change: Relay_V1_KeyChange, _ state: ClientState) throws -> KeyRefusal? {
        let id = DeviceID(change.device.deviceID)
        let known = try state.device(id)
        if change.device.revoked || change.changed.contains(.deviceRevoked) {
            if known?.user == UserID(change.userID) { try state.deactivate(id) }
            return nil
        }
        let (identity, agreement) = (Array(change.device.keys.identityKey), Array(change.device.keys.agreementKey))
        if let known, known.identityKey != identity { return .identity }
        guard Signing.verifyAgreement(identityKey: identity, agreementKey: agreement, signature: Array(change.device.keys.agreementSignature)) else {
            return .signature
        }
        let version = max(1, change.device.keys.agreementVersion)
        if let known, known.user == UserID(change.userID), version < known.agreementVersion { return nil }
        return try state.store(
            active: KnownDevice(
                id: id, user: UserID(change.userID), name: change.device.name, identityKey: identity, agreementKey: agreement, active: true,
                agreementVersion: version))
    }
}

extension Relay_V1_KeyChange {
    fileprivate var deviceID: UInt64 { device.deviceID }
}
