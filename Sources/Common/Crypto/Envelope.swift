import CSodium
import RelayModel

/// What the relay sees of a message and what the seal protects from being changed.
package struct EnvelopeHeader: Sendable, Hashable {
    package var chat: ChatID
    package var senderUser: UserID
    package var senderDevice: DeviceID
    package var clientMessageID: UInt64

    package init(chat: ChatID, senderUser: UserID, senderDevice: DeviceID, clientMessageID: UInt64) {
        self.chat = chat
        self.senderUser = senderUser
        self.senderDevice = senderDevice
        self.clientMessageID = clientMessageID
    }

    /// The context, then the four numbers with 8 bytes each, then the message's ephemeral public key: the associated data of the seal and
    /// the beginning of what the sender signs.
    func bound(to ephemeralKey: [UInt8]) -> [UInt8] {
        Signing.envelopeContext + bigEndian(chat.rawValue) + bigEndian(senderUser.rawValue) + bigEndian(senderDevice.rawValue)
            + bigEndian(clientMessageID) + ephemeralKey
    }
}

/// The key of a body, wrapped for one device.
package struct WrappedEnvelopeKey: Sendable, Hashable {
    package var user: UserID
    package var device: DeviceID
    /// 48 bytes.
    package var key: [UInt8]
}

/// A sealed message: one body for all, one wrapped key for each device, in the order of the recipients given.
package struct SealedEnvelope: Sendable, Hashable {
    package var body: [UInt8]
    package var keys: [WrappedEnvelopeKey]
    /// What opens the body; for the sender's own history.
    package var contentKey: [UInt8]
}

/// Version 1 of the envelope; relay-protocol(7) gives the format byte by byte with a worked example. Any thread.
///
/// The body is sealed once under a random key; that key is wrapped for each device as `crypto_box_seal` would do it, except that all
/// devices share the message's one ephemeral key. The sender's signature is inside, over the header, the ephemeral key and the content: the
/// relay cannot tell who wrote what beyond the header it routes by, and a recipient cannot pass a message on as the sender's to others.
package enum EnvelopeV1 {
    package static let version: UInt8 = 1
    /// Content before compression: what a receiver inflates at most.
    package static let contentBytes = 1024 * 1024
    /// The smallest size class; each next one is twice as large.
    static let smallestClass = 128
    static let keyBytes = Int(crypto_box_PUBLICKEYBYTES)
    static let nonceBytes = Int(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
    static let tagBytes = Int(crypto_aead_xchacha20poly1305_ietf_ABYTES)
    static let signatureBytes = Int(crypto_sign_BYTES)
    package static let contentKeyBytes = 32
    /// A content key in a box.
    package static let wrappedKeyBytes = contentKeyBytes + Int(crypto_box_MACBYTES)
    /// Version, ephemeral key, nonce and authentication tag.
    static let overheadBytes = 1 + keyBytes + nonceBytes + tagBytes

    /// Seals content for exactly the devices given. Draws 32 bytes for the content key, 32 for the ephemeral secret and 24 for the nonce, in
    /// this order.
    /// - Throws: ``CryptoError/tooLarge``; ``CryptoError/malformed(_:)`` when a recipient's key has a wrong length or is of low order.
    package static func seal(
        _ content: [UInt8], header: EnvelopeHeader, sender: DeviceSecrets,
        recipients: [(user: UserID, device: DeviceID, agreementKey: [UInt8])], entropy: any Entropy
    ) throws(CryptoError) -> SealedEnvelope {
        guard content.count <= contentBytes else { throw .tooLarge }
        requireSodium()
        var contentKey = entropy.bytes(32)
        var ephemeralSecret = entropy.bytes(32)
        defer {
            wipe(&contentKey)
            wipe(&ephemeralSecret)
        }
        let nonce = entropy.bytes(nonceBytes)
        var ephemeralKey = [UInt8](repeating: 0, count: keyBytes)
        crypto_scalarmult_base(&ephemeralKey, ephemeralSecret)
        let bound = header.bound(to: ephemeralKey)

        var plaintext = sender.sign(bound + content)
        defer { wipe(&plaintext) }
        if let compressed = Compression.deflate(content) {
            plaintext.append(1)
            plaintext.append(contentsOf: compressed)
        } else {
            plaintext.append(0)
            plaintext.append(contentsOf: content)
        }
        let unpadded = plaintext.count
        let padded = sizeClass(forUnpadded: unpadded)
        plaintext.append(contentsOf: repeatElement(0, count: padded - unpadded))
        var paddedLength = 0
        guard sodium_pad(&paddedLength, &plaintext, unpadded, padded, padded) == 0 else { throw .tooLarge }

        var sealed = [UInt8](repeating: 0, count: padded + tagBytes)
        crypto_aead_xchacha20poly1305_ietf_encrypt(
            &sealed, nil, plaintext, UInt64(padded), bound, UInt64(bound.count), nil, nonce, contentKey)

        var keys: [WrappedEnvelopeKey] = []
        keys.reserveCapacity(recipients.count)
        for recipient in recipients {
            guard recipient.agreementKey.count == keyBytes else { throw .malformed("an agreement key has 32 bytes") }
            var wrapped = [UInt8](repeating: 0, count: wrappedKeyBytes)
            let wrapNonce = wrapNonce(ephemeralKey: ephemeralKey, agreementKey: recipient.agreementKey)
            guard crypto_box_easy(&wrapped, contentKey, UInt64(contentKey.count), wrapNonce, recipient.agreementKey, ephemeralSecret) == 0
            else { throw .malformed("an agreement key is of low order") }
            keys.append(WrappedEnvelopeKey(user: recipient.user, device: recipient.device, key: wrapped))
        }
        return SealedEnvelope(body: [version] + ephemeralKey + nonce + sealed, keys: keys, contentKey: contentKey)
    }

    /// Opens a body with this device's wrapped key and checks the sender's signature. Says nothing about whether the identity key is really the
    /// sender's: the caller pins it.
    /// - Throws: every case of ``CryptoError``; nothing of the content leaves when it throws.
    package static func open(
        body: [UInt8], wrappedKey: [UInt8], header: EnvelopeHeader, device: DeviceSecrets, senderIdentityKey: [UInt8]
    ) throws(CryptoError) -> [UInt8] {
        try open(body: body, wrappedKey: wrappedKey, header: header, agreement: device.agreementSecret, senderIdentityKey: senderIdentityKey)
    }

    /// The same with an agreement key that may be a former one of the device.
    package static func open(
        body: [UInt8], wrappedKey: [UInt8], header: EnvelopeHeader, agreement: AgreementSecret, senderIdentityKey: [UInt8]
    ) throws(CryptoError) -> [UInt8] {
        var contentKey = try unwrap(wrappedKey, of: body, agreement: agreement)
        defer { wipe(&contentKey) }
        return try open(body: body, contentKey: contentKey, header: header, senderIdentityKey: senderIdentityKey)
    }

    /// The content key of a body, 32 bytes.
    package static func unwrap(_ wrappedKey: [UInt8], of body: [UInt8], agreement: AgreementSecret) throws(CryptoError) -> [UInt8] {
        requireSodium()
        try check(body)
        guard !wrappedKey.isEmpty else { throw .notForThisDevice }
        guard wrappedKey.count == wrappedKeyBytes else { throw .malformed("a wrapped key has \(wrappedKeyBytes) bytes") }
        let ephemeralKey = Array(body[1..<(1 + keyBytes)])
        var contentKey = [UInt8](repeating: 0, count: contentKeyBytes)
        let wrapNonce = wrapNonce(ephemeralKey: ephemeralKey, agreementKey: agreement.publicKey)
        let unwrapped = agreement.secret.withBytes { secret in
            crypto_box_open_easy(&contentKey, wrappedKey, UInt64(wrappedKey.count), wrapNonce, ephemeralKey, secret)
        }
        guard unwrapped == 0 else { throw .openFailed }
        return contentKey
    }

    private static func check(_ body: [UInt8]) throws(CryptoError) {
        guard let first = body.first else { throw .malformed("the body is empty") }
        guard first == version else { throw .malformed("version \(first) of the envelope is not known here") }
        guard body.count <= Limits.bodyBytesCeiling else { throw .tooLarge }
        let padded = body.count - overheadBytes
        guard padded >= smallestClass, padded.nonzeroBitCount == 1 else { throw .malformed("the body's length is none of the size classes") }
    }

    /// The same with the content key itself, which this device unwrapped earlier or was given by another one of its user.
    package static func open(
        body: [UInt8], contentKey: [UInt8], header: EnvelopeHeader, senderIdentityKey: [UInt8]
    ) throws(CryptoError) -> [UInt8] {
        requireSodium()
        try check(body)
        guard contentKey.count == contentKeyBytes else { throw .malformed("a content key has \(contentKeyBytes) bytes") }
        let padded = body.count - overheadBytes
        let ephemeralKey = Array(body[1..<(1 + keyBytes)])
        let nonce = Array(body[(1 + keyBytes)..<(1 + keyBytes + nonceBytes)])
        let sealed = Array(body[(1 + keyBytes + nonceBytes)...])
        let bound = header.bound(to: ephemeralKey)
        var plaintext = [UInt8](repeating: 0, count: padded)
        defer { wipe(&plaintext) }
        guard
            crypto_aead_xchacha20poly1305_ietf_decrypt(
                &plaintext, nil, nil, sealed, UInt64(sealed.count), bound, UInt64(bound.count), nonce, contentKey) == 0
        else { throw .openFailed }

        var unpadded = 0
        guard sodium_unpad(&unpadded, plaintext, padded, padded) == 0 else { throw .malformed("the padding is broken") }
        guard unpadded > signatureBytes else { throw .malformed("the sealed part is too short") }
        let data = Array(plaintext[(signatureBytes + 1)..<unpadded])
        let content: [UInt8]
        switch plaintext[signatureBytes] {
        case 0: content = data
        case 1: content = try Compression.inflate(data, limit: contentBytes)
        default: throw .malformed("the compression is not known here")
        }
        guard content.count <= contentBytes else { throw .tooLarge }
        guard Signing.verify(signature: Array(plaintext[..<signatureBytes]), message: bound + content, publicKey: senderIdentityKey) else {
            throw .signatureInvalid
        }
        return content
    }

    /// Room for the content and for at least one byte of padding. `unpadded` is at most a content and some bytes, so nothing overflows.
    static func sizeClass(forUnpadded unpadded: Int) -> Int {
        var size = smallestClass
        while size < unpadded + 1 { size *= 2 }
        return size
    }

    /// How long the body becomes for content that does not compress.
    package static func bodyBytes(forContent count: Int) -> Int { overheadBytes + sizeClass(forUnpadded: signatureBytes + 1 + count) }

    static func wrapNonce(ephemeralKey: [UInt8], agreementKey: [UInt8]) -> [UInt8] {
        Hashing.blake2b(ephemeralKey + agreementKey, length: Int(crypto_box_NONCEBYTES), key: [])
    }
}
