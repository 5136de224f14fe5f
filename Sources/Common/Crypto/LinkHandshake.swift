import CSodium
import RelayModel

/// How an enrolled device takes in a new one of the same user, over a relay that neither trusts; relay-protocol(7) gives the formats byte by byte
/// with a worked example. Any thread.
///
/// The code that the person carries from the old device to the new one is the hash of the old device's offer (its ephemeral key, its identity key,
/// who it is). So it is a secret of 128 bits, from which everything that the relay sees is sealed, and it binds the offer before anybody has seen it:
/// whoever overhears the code can neither put another offer in its place nor choose a hello that gives a wanted number, because the offer is shown
/// only in answer to the one hello that was taken. That makes six digits enough to compare (the commitment of ZRTP, RFC 6189).
package enum LinkHandshake {
    static let codeContext = Array("relayd/link/1/code".utf8)
    static let idContext = Array("relayd/link/1/id".utf8)
    static let helloContext = Array("relayd/link/1/hello".utf8)
    static let answerContext = Array("relayd/link/1/answer".utf8)
    static let numberContext = Array("relayd/link/1/number".utf8)
    static let keysContext = Array("relayd/link/1/keys".utf8)
    static let toNewContext = Array("relayd/link/1/to-new".utf8)
    static let toOldContext = Array("relayd/link/1/to-old".utf8)
    static let claimContext = Array("relayd/link/1/claim".utf8)
    static let checkContext = Array("relayd/link/1/check".utf8)

    static let keyBytes = Int(crypto_scalarmult_BYTES)
    static let nonceBytes = Int(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
    static let tagBytes = Int(crypto_aead_xchacha20poly1305_ietf_ABYTES)
    /// What a sealed part is longer than what is in it.
    package static let partOverhead = tagBytes

    /// What the person carries over: 16 secret bytes. As text: version, secret and three bytes that find typing errors, in 32 characters of
    /// Crockford's base 32.
    package struct Code: Sendable, Equatable {
        static let version: UInt8 = 1
        static let secretBytes = 16
        static let checkBytes = 3
        package let secret: [UInt8]

        init(offer: [UInt8]) { secret = Array(Hashing.blake2b(codeContext + offer, length: Code.secretBytes, key: [])) }

        /// - Throws: ``CryptoError/malformed(_:)``: a typing error, or a later version.
        package init(_ typed: String) throws(CryptoError) {
            guard let bytes = CrockfordBase32.decode(typed, count: 1 + Code.secretBytes + Code.checkBytes) else {
                throw .malformed("a code has 32 letters and digits in groups of four")
            }
            let body = Array(bytes.dropLast(Code.checkBytes))
            guard Code.check(body) == Array(bytes.suffix(Code.checkBytes)) else { throw .malformed("a letter or digit of the code is wrong") }
            guard body[0] == Code.version else { throw .malformed("version \(body[0]) of codes is not known here") }
            secret = Array(body.dropFirst())
        }

        private static func check(_ body: [UInt8]) -> [UInt8] {
            Array(Hashing.blake2b256(checkContext + body).prefix(checkBytes))
        }

        package var text: String {
            let body = [Code.version] + secret
            return CrockfordBase32.encode(body + Code.check(body), group: 4)
        }

        /// 16 bytes: how the relay knows the link. Says nothing about the secret.
        package var linkID: [UInt8] { Hashing.blake2b(idContext, length: 16, key: secret) }

        func key(_ context: [UInt8]) -> [UInt8] { Hashing.keyed(context, key: secret) }
    }

    /// Of the old device. 80 bytes: ephemeral key, identity key, user, device.
    package struct Offer: Sendable, Equatable {
        package let ephemeralKey: [UInt8]
        package let identityKey: [UInt8]
        package let user: UserID
        package let device: DeviceID

        var bytes: [UInt8] { ephemeralKey + identityKey + bigEndian(user.rawValue) + bigEndian(device.rawValue) }

        init(ephemeralKey: [UInt8], identityKey: [UInt8], user: UserID, device: DeviceID) {
            self.ephemeralKey = ephemeralKey
            self.identityKey = identityKey
            self.user = user
            self.device = device
        }

        init(_ bytes: [UInt8]) throws(CryptoError) {
            guard bytes.count == 80 else { throw .malformed("an offer has 80 bytes") }
            ephemeralKey = Array(bytes[..<32])
            identityKey = Array(bytes[32..<64])
            user = UserID(bytes[64..<72].reduce(0) { $0 << 8 | UInt64($1) })
            device = DeviceID(bytes[72..<80].reduce(0) { $0 << 8 | UInt64($1) })
            guard Signing.isSound(ephemeralKey) else { throw .malformed("the offer's ephemeral key is of low order") }
        }
    }

    /// Of the new device: ephemeral key, identity key, agreement key (32 bytes each), the identity's signature over the agreement key (64), the name.
    package struct Hello: Sendable, Equatable {
        package let ephemeralKey: [UInt8]
        package let identityKey: [UInt8]
        package let agreementKey: [UInt8]
        package let agreementSignature: [UInt8]
        package let deviceName: String

        var bytes: [UInt8] { ephemeralKey + identityKey + agreementKey + agreementSignature + Array(deviceName.utf8) }

        init(ephemeralKey: [UInt8], device: DeviceSecrets, deviceName: String) {
            self.ephemeralKey = ephemeralKey
            (identityKey, agreementKey, agreementSignature) = device.publicKeys
            self.deviceName = deviceName
        }

        init(_ bytes: [UInt8]) throws(CryptoError) {
            guard bytes.count > 160, let name = String(validating: bytes[160...], as: UTF8.self) else { throw .malformed("the hello is cut") }
            ephemeralKey = Array(bytes[..<32])
            identityKey = Array(bytes[32..<64])
            agreementKey = Array(bytes[64..<96])
            agreementSignature = Array(bytes[96..<160])
            deviceName = name
            guard Signing.isSound(ephemeralKey) else { throw .malformed("the hello's ephemeral key is of low order") }
            guard Signing.verifyAgreement(identityKey: identityKey, agreementKey: agreementKey, signature: agreementSignature) else {
                throw .signatureInvalid
            }
        }
    }

    /// What both devices have in common after hello and answer.
    package struct Session: Sendable {
        /// Six digits that both show.
        package let number: String
        let linkID: [UInt8]
        let toNew: SecretKey
        let toOld: SecretKey

        init(code: Code, offer: Offer, hello: Hello, own: SecretKey, other: [UInt8]) throws(CryptoError) {
            linkID = code.linkID
            let transcript = Hashing.blake2b256(linkID + bigEndian(UInt64(hello.bytes.count)) + hello.bytes + offer.bytes)
            let digits = Hashing.blake2b256(numberContext + transcript).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } % 1_000_000
            let text = String(digits)
            number = String(repeating: "0", count: 6 - text.count) + text
            var shared = [UInt8](repeating: 0, count: keyBytes)
            defer { wipe(&shared) }
            guard own.withBytes({ crypto_scalarmult(&shared, $0, other) }) == 0 else { throw .malformed("an ephemeral key is of low order") }
            var master = Hashing.keyed(keysContext + code.secret + transcript, key: shared)
            defer { wipe(&master) }
            var (new, old) = (Hashing.keyed(toNewContext, key: master), Hashing.keyed(toOldContext, key: master))
            defer {
                wipe(&new)
                wipe(&old)
            }
            toNew = SecretKey(copying: new)
            toOld = SecretKey(copying: old)
        }

        /// Whether somebody typed this number; blanks do not count.
        package func matches(_ typed: String) -> Bool { typed.filter { !$0.isWhitespace && $0 != "-" } == number }

        package func sealer(_ direction: Direction) -> PartSealer { PartSealer(key: key(direction), linkID: linkID) }
        package func opener(_ direction: Direction) -> PartOpener { PartOpener(key: key(direction), linkID: linkID) }
        private func key(_ direction: Direction) -> SecretKey { direction == .toNew ? toNew : toOld }
    }

    package enum Direction: Sendable { case toNew, toOld }

    // MARK: The old device

    /// One attempt of the old device. Draws 32 bytes.
    package struct Old: Sendable {
        package let code: Code
        private let offer: Offer
        private let ephemeral: SecretKey

        package init(identityKey: [UInt8], user: UserID, device: DeviceID, entropy: any Entropy) {
            let (secret, key) = LinkHandshake.ephemeral(entropy)
            ephemeral = secret
            offer = Offer(ephemeralKey: key, identityKey: identityKey, user: user, device: device)
            code = Code(offer: offer.bytes)
        }

        /// Opens the hello and answers it. Only ever for one hello: a second one would see the offer before it is made. Draws 24 bytes.
        /// - Throws: ``CryptoError``: the hello was made without the code, or is no hello.
        package func answer(_ sealed: [UInt8], entropy: any Entropy) throws(CryptoError) -> (hello: Hello, answer: [UInt8], session: Session) {
            let hello = try Hello(open(sealed, key: code.key(helloContext), code))
            let session = try Session(code: code, offer: offer, hello: hello, own: ephemeral, other: hello.ephemeralKey)
            return (hello, seal(offer.bytes, key: code.key(answerContext), code, entropy), session)
        }
    }

    // MARK: The new device

    /// One attempt of the new device. Draws 32 bytes.
    package struct New: Sendable {
        private let code: Code
        private let hello: Hello
        private let ephemeral: SecretKey

        package init(code: Code, device: DeviceSecrets, deviceName: String, entropy: any Entropy) {
            let (secret, key) = LinkHandshake.ephemeral(entropy)
            self.code = code
            ephemeral = secret
            hello = Hello(ephemeralKey: key, device: device, deviceName: deviceName)
        }

        /// Draws 24 bytes.
        package func sealedHello(_ entropy: any Entropy) -> [UInt8] { seal(hello.bytes, key: code.key(helloContext), code, entropy) }

        /// - Throws: ``CryptoError``: the answer is not that of the device that showed the code.
        package func read(answer sealed: [UInt8]) throws(CryptoError) -> (offer: Offer, session: Session) {
            let bytes = try open(sealed, key: code.key(answerContext), code)
            guard Hashing.equal(Code(offer: bytes).secret, code.secret) else { throw .openFailed }
            let offer = try Offer(bytes)
            return (offer, try Session(code: code, offer: offer, hello: hello, own: ephemeral, other: offer.ephemeralKey))
        }
    }

    /// 16 bytes with which a new device shows the relay that it is the one that said hello. The same again after a crash, and worth nothing
    /// elsewhere.
    package static func claim(_ code: Code, of device: DeviceSecrets) -> [UInt8] {
        device.identity.withBytes { secret in
            var seed = Array(UnsafeBufferPointer(start: secret, count: 32))
            defer { wipe(&seed) }
            return Hashing.blake2b(claimContext + code.linkID, length: 16, key: seed)
        }
    }

    // MARK: Steps

    private static func ephemeral(_ entropy: any Entropy) -> (SecretKey, [UInt8]) {
        requireSodium()
        var secret = entropy.bytes(keyBytes)
        defer { wipe(&secret) }
        var key = [UInt8](repeating: 0, count: keyBytes)
        crypto_scalarmult_base(&key, secret)
        return (SecretKey(copying: secret), key)
    }

    /// Nonce, then the sealed bytes with their tag; the link's id is the associated data.
    static func seal(_ bytes: [UInt8], key: [UInt8], _ code: Code, _ entropy: any Entropy) -> [UInt8] {
        requireSodium()
        let nonce = entropy.bytes(nonceBytes)
        let id = code.linkID
        var sealed = [UInt8](repeating: 0, count: bytes.count + tagBytes)
        crypto_aead_xchacha20poly1305_ietf_encrypt(&sealed, nil, bytes, UInt64(bytes.count), id, UInt64(id.count), nil, nonce, key)
        return nonce + sealed
    }

    private static func open(_ sealed: [UInt8], key: [UInt8], _ code: Code) throws(CryptoError) -> [UInt8] {
        requireSodium()
        guard sealed.count >= nonceBytes + tagBytes else { throw .malformed("it is cut") }
        let id = code.linkID
        let (nonce, rest) = (Array(sealed.prefix(nonceBytes)), Array(sealed.dropFirst(nonceBytes)))
        var bytes = [UInt8](repeating: 0, count: rest.count - tagBytes)
        guard
            crypto_aead_xchacha20poly1305_ietf_decrypt(
                &bytes, nil, nil, rest, UInt64(rest.count), id, UInt64(id.count), nonce, key) == 0
        else { throw .openFailed }
        return bytes
    }
}

// MARK: Parts

/// Seals the parts of one direction: a counter is the nonce, and whether more follow is in the associated data, so that parts can neither be changed,
/// left out, repeated or exchanged, nor the end be cut off unnoticed. One key, one sealer.
package struct PartSealer: Sendable {
    private let key: SecretKey
    private let linkID: [UInt8]
    private var next: UInt64 = 0
    private var ended = false

    init(key: SecretKey, linkID: [UInt8]) {
        self.key = key
        self.linkID = linkID
    }

    /// After the last part there is no other.
    package mutating func seal(_ bytes: [UInt8], last: Bool) -> [UInt8] {
        precondition(!ended, "a part behind the last one")
        ended = last
        let (nonce, bound) = PartFormat.bound(next, last, linkID)
        next += 1
        var sealed = [UInt8](repeating: 0, count: bytes.count + LinkHandshake.tagBytes)
        _ = key.withBytes {
            crypto_aead_xchacha20poly1305_ietf_encrypt(&sealed, nil, bytes, UInt64(bytes.count), bound, UInt64(bound.count), nil, nonce, $0)
        }
        return sealed
    }
}

/// Opens the parts of one direction in their order.
package struct PartOpener: Sendable {
    private let key: SecretKey
    private let linkID: [UInt8]
    private var next: UInt64 = 0
    /// The last part was opened; nothing is missing.
    package private(set) var isComplete = false

    init(key: SecretKey, linkID: [UInt8]) {
        self.key = key
        self.linkID = linkID
    }

    /// - Throws: ``CryptoError/openFailed`` for a part that was changed, is not the next one, or comes behind the last one.
    package mutating func open(_ sealed: [UInt8]) throws(CryptoError) -> [UInt8] {
        guard !isComplete, sealed.count >= LinkHandshake.tagBytes else { throw .openFailed }
        for last in [false, true] {
            let (nonce, bound) = PartFormat.bound(next, last, linkID)
            var bytes = [UInt8](repeating: 0, count: sealed.count - LinkHandshake.tagBytes)
            let opened = key.withBytes {
                crypto_aead_xchacha20poly1305_ietf_decrypt(&bytes, nil, nil, sealed, UInt64(sealed.count), bound, UInt64(bound.count), nonce, $0)
            }
            guard opened == 0 else { continue }
            next += 1
            isComplete = last
            return bytes
        }
        throw .openFailed
    }
}

private enum PartFormat {
    /// Nonce: 16 zero bytes and the part's number (8 bytes, big-endian). Associated data: the link's id, then 1 for the last part, else 0.
    static func bound(_ number: UInt64, _ last: Bool, _ linkID: [UInt8]) -> (nonce: [UInt8], bound: [UInt8]) {
        ([UInt8](repeating: 0, count: 16) + bigEndian(number), linkID + [last ? 1 : 0])
    }
}
