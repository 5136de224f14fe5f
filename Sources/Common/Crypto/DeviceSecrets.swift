import CSodium
import RelayModel

/// The two secrets of a device: the Ed25519 identity that signs and the X25519 agreement key that others wrap keys for.
/// Any thread. Where to store them is the client's business (``RelayClient``).
package struct DeviceSecrets: Sendable {
    /// The 64-byte form of libsodium: seed, then public key.
    let identity: SecretKey
    let agreement: SecretKey
    /// Ed25519, 32 bytes.
    package let identityKey: [UInt8]
    /// X25519, 32 bytes.
    package let agreementKey: [UInt8]

    /// New secrets: 32 bytes for the identity's seed, then 32 for the agreement key, drawn in this order.
    package static func generate(_ entropy: any Entropy) -> DeviceSecrets {
        var seed = entropy.bytes(Int(crypto_sign_SEEDBYTES))
        var agreement = entropy.bytes(Int(crypto_box_SECRETKEYBYTES))
        defer {
            wipe(&seed)
            wipe(&agreement)
        }
        return DeviceSecrets(checkedSeed: seed, checkedAgreement: agreement)
    }

    /// Secrets that were stored before.
    /// - Throws: ``CryptoError/malformed(_:)`` when one of them has not 32 bytes.
    package init(identitySeed: [UInt8], agreementSecret: [UInt8]) throws(CryptoError) {
        guard identitySeed.count == Int(crypto_sign_SEEDBYTES) else { throw .malformed("an identity seed has 32 bytes") }
        guard agreementSecret.count == Int(crypto_box_SECRETKEYBYTES) else { throw .malformed("an agreement secret has 32 bytes") }
        self.init(checkedSeed: identitySeed, checkedAgreement: agreementSecret)
    }

    private init(checkedSeed seed: [UInt8], checkedAgreement secret: [UInt8]) {
        requireSodium()
        var publicIdentity = [UInt8](repeating: 0, count: Int(crypto_sign_PUBLICKEYBYTES))
        var secretIdentity = [UInt8](repeating: 0, count: Int(crypto_sign_SECRETKEYBYTES))
        crypto_sign_seed_keypair(&publicIdentity, &secretIdentity, seed)
        var publicAgreement = [UInt8](repeating: 0, count: Int(crypto_box_PUBLICKEYBYTES))
        crypto_scalarmult_base(&publicAgreement, secret)
        identity = SecretKey(copying: secretIdentity)
        agreement = SecretKey(copying: secret)
        wipe(&secretIdentity)
        identityKey = publicIdentity
        agreementKey = publicAgreement
    }

    /// The agreement key by itself.
    package var agreementSecret: AgreementSecret { AgreementSecret(secret: agreement, publicKey: agreementKey) }

    /// The same device with another agreement key.
    package func replacingAgreement(with new: AgreementSecret) -> DeviceSecrets {
        DeviceSecrets(identity: identity, agreement: new.secret, identityKey: identityKey, agreementKey: new.publicKey)
    }

    private init(identity: SecretKey, agreement: SecretKey, identityKey: [UInt8], agreementKey: [UInt8]) {
        self.identity = identity
        self.agreement = agreement
        self.identityKey = identityKey
        self.agreementKey = agreementKey
    }

    /// What the device publishes: both public keys, and the identity's signature (64 bytes) over the agreement key.
    package var publicKeys: (identityKey: [UInt8], agreementKey: [UInt8], agreementSignature: [UInt8]) {
        (identityKey, agreementKey, sign(Signing.agreementMessage(agreementKey: agreementKey)))
    }

    /// Ed25519, 64 bytes; the same message gives the same signature.
    package func sign(_ message: [UInt8]) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: Int(crypto_sign_BYTES))
        identity.withBytes { secret in _ = crypto_sign_detached(&signature, nil, message, UInt64(message.count), secret) }
        return signature
    }

    /// For the file that keeps the device's secrets: seed and agreement secret, 32 bytes each. Wipe both after use.
    package func copySecrets() -> (identitySeed: [UInt8], agreementSecret: [UInt8]) {
        (identity.withBytes { Array(UnsafeBufferPointer(start: $0, count: Int(crypto_sign_SEEDBYTES))) }, agreement.copyBytes())
    }
}
