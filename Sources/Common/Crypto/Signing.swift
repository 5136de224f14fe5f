import CSodium
import RelayModel

/// What devices sign, and how a signature is checked. Each message begins with an ASCII context of its own, so that a signature
/// given for one purpose is worth nothing for another; relay-protocol(7) lists them. Any thread.
package enum Signing {
    static let agreementContext = Array("relayd/agreement/1".utf8)
    static let prekeyContext = Array("relayd/prekey/1".utf8)
    static let lastResortContext = Array("relayd/last-resort/1".utf8)
    static let authenticationContext = Array("relayd/auth/1".utf8)
    static let linkedContext = Array("relayd/linked/1".utf8)
    static let envelopeContext = Array("relayd/envelope/1".utf8)

    /// The identity key vouches for the agreement key: `relayd/agreement/1`, then the key.
    package static func agreementMessage(agreementKey: [UInt8]) -> [UInt8] { agreementContext + agreementKey }

    /// What a prekey that is used by many is for.
    package enum PrekeyKind: Sendable {
        /// In use until it is replaced.
        case signed
        /// For whom no one-time prekey is left.
        case lastResort
    }

    /// The identity key vouches for a prekey of a device: `relayd/prekey/1` or `relayd/last-resort/1`, the device's id and the prekey's (8 bytes
    /// each, big-endian), the key.
    package static func prekeyMessage(_ kind: PrekeyKind, device: DeviceID, id: UInt64, key: [UInt8]) -> [UInt8] {
        (kind == .signed ? prekeyContext : lastResortContext) + bigEndian(device.rawValue) + bigEndian(id) + key
    }

    /// A device answers a challenge: `relayd/auth/1`, the device's id (8 bytes, big-endian), the challenge.
    package static func authenticationMessage(device: DeviceID, challenge: [UInt8]) -> [UInt8] {
        authenticationContext + bigEndian(device.rawValue) + challenge
    }

    /// A new device asks whether it is one of a user's: `relayd/linked/1`, the user's id (8 bytes, big-endian).
    package static func linkedMessage(user: UserID) -> [UInt8] { linkedContext + bigEndian(user.rawValue) }

    /// False for a wrong signature, and for a signature or key of another length.
    package static func verify(signature: [UInt8], message: [UInt8], publicKey: [UInt8]) -> Bool {
        requireSodium()
        guard signature.count == Int(crypto_sign_BYTES), publicKey.count == Int(crypto_sign_PUBLICKEYBYTES) else { return false }
        return crypto_sign_verify_detached(signature, message, UInt64(message.count), publicKey) == 0
    }

    /// Whether a device's published keys hold together: lengths, the signature, and an agreement key that is not of low order (such a
    /// key gives everybody the same shared secret).
    package static func verifyAgreement(identityKey: [UInt8], agreementKey: [UInt8], signature: [UInt8]) -> Bool {
        isSound(agreementKey) && verify(signature: signature, message: agreementMessage(agreementKey: agreementKey), publicKey: identityKey)
    }

    /// The same for a signed or last-resort prekey.
    package static func verifyPrekey(
        _ kind: PrekeyKind, device: DeviceID, id: UInt64, key: [UInt8], signature: [UInt8], identityKey: [UInt8]
    ) -> Bool {
        isSound(key) && verify(signature: signature, message: prekeyMessage(kind, device: device, id: id, key: key), publicKey: identityKey)
    }

    /// Whether this is an X25519 public key that is not of low order.
    package static func isSound(_ key: [UInt8]) -> Bool {
        requireSodium()
        guard key.count == Int(crypto_box_PUBLICKEYBYTES) else { return false }
        // Any scalar shows it: libsodium refuses when the product is zero.
        let scalar = [UInt8](repeating: 0x42, count: Int(crypto_scalarmult_SCALARBYTES))
        var product = [UInt8](repeating: 0, count: Int(crypto_scalarmult_BYTES))
        return crypto_scalarmult(&product, scalar, key) == 0
    }
}

/// Eight bytes, most significant first: how every number appears in what is signed or authenticated.
func bigEndian(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
