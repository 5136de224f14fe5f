import RelayCrypto
import RelayModel
import RelayStorage

// Prekeys and changed keys.
extension Directory {
    /// Checks and stores what a device uploads. When this returns, later messages are held to it, and those who are online are being told.
    package func setKeys(_ keys: SetKeys) async throws(DirectoryError) -> DeviceKeysState {
        guard let device = try await readers.look({ try $0.device(keys.device) }) else { throw .deviceRevoked }
        let identity = device.keys.identityKey
        if let agreement = keys.agreement {
            guard Signing.verifyAgreement(identityKey: identity, agreementKey: agreement.key, signature: agreement.signature) else {
                throw .signatureInvalid
            }
        }
        for (kind, key) in [(Signing.PrekeyKind.signed, keys.signedPrekey), (.lastResort, keys.lastResortPrekey)] {
            guard let key else { continue }
            guard
                Signing.verifyPrekey(
                    kind, device: keys.device, id: key.id, key: key.key, signature: key.signature, identityKey: identity)
            else { throw .signatureInvalid }
        }
        guard keys.oneTimePrekeys.allSatisfy({ Signing.isSound($0.key) }) else {
            throw .invalid("a one-time prekey is no X25519 public key of 32 bytes, or one of low order")
        }
        guard case .keysSet(let set) = try await perform(.setKeys(keys), telling: true) else { throw .storeFailed }
        return set.state
    }

    package func keysState(of device: DeviceID) async throws(DirectoryError) -> DeviceKeysState {
        guard let state = try await readers.look({ try $0.keysState(of: device) }) else { throw .deviceRevoked }
        return state
    }

    /// The keys to begin a conversation with each of a user's devices. Each one-time prekey is given to one device, once.
    package func takePrekeys(of target: UserID, for principal: Principal) async throws(DirectoryError) -> TakenPrekeys {
        let command = Command.takePrekeys(TakePrekeys(user: principal.user, device: principal.device, target: target))
        guard case .prekeys(let taken) = try await perform(command, telling: true) else { throw .storeFailed }
        return taken
    }
}
