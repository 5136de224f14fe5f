import CSodium
import RelayModel

/// The X25519 secret of a device for which others wrap keys. A device replaces it from time to time and keeps a former one for a while. Any thread.
package struct AgreementSecret: Sendable {
    let secret: SecretKey
    /// 32 bytes.
    package let publicKey: [UInt8]

    /// A new one; draws 32 bytes.
    package static func generate(_ entropy: any Entropy) -> AgreementSecret {
        var bytes = entropy.bytes(Int(crypto_box_SECRETKEYBYTES))
        defer { wipe(&bytes) }
        return AgreementSecret(checked: bytes)
    }

    /// One that was stored before; the caller wipes its own copy.
    /// - Throws: ``CryptoError/malformed(_:)`` when it has not 32 bytes.
    package init(_ bytes: [UInt8]) throws(CryptoError) {
        guard bytes.count == Int(crypto_box_SECRETKEYBYTES) else { throw .malformed("an agreement secret has 32 bytes") }
        self.init(checked: bytes)
    }

    init(secret: SecretKey, publicKey: [UInt8]) {
        self.secret = secret
        self.publicKey = publicKey
    }

    private init(checked bytes: [UInt8]) {
        requireSodium()
        var published = [UInt8](repeating: 0, count: Int(crypto_box_PUBLICKEYBYTES))
        crypto_scalarmult_base(&published, bytes)
        self.init(secret: SecretKey(copying: bytes), publicKey: published)
    }

    /// For the file that keeps the device's secrets: 32 bytes. Wipe them after use.
    package func copyBytes() -> [UInt8] { secret.copyBytes() }
}
