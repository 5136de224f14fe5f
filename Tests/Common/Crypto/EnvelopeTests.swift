import CSodium
import CZlib
import RelayModel
import Testing

@testable import RelayCrypto

@Suite struct EnvelopeTests {
    let vectors: Vectors
    let alice: DeviceSecrets
    let bob: DeviceSecrets

    init() throws {
        vectors = try Vectors()
        alice = try vectors.secrets("alice")
        bob = try vectors.secrets("bob")
    }

    func open(_ body: [UInt8], _ key: [UInt8], _ header: EnvelopeHeader, identity: [UInt8]? = nil, by device: DeviceSecrets? = nil)
        throws(CryptoError) -> [UInt8]
    {
        try EnvelopeV1.open(body: body, wrappedKey: key, header: header, device: device ?? bob, senderIdentityKey: identity ?? alice.identityKey)
    }

    // MARK: Tampering

    /// One bit, anywhere in the body, and it does not open.
    @Test func everyBitOfTheBody() throws {
        let (body, key, header) = (vectors["short.body"], vectors["short.wrapped.key"], vectors.header("short"))
        for index in body.indices {
            var changed = body
            changed[index] ^= 1 << UInt8(index % 8)
            #expect(throws: CryptoError.self, "byte \(index)") { try open(changed, key, header) }
        }
    }

    @Test func everyByteOfTheWrappedKey() throws {
        let (body, key, header) = (vectors["short.body"], vectors["short.wrapped.key"], vectors.header("short"))
        for index in key.indices {
            var changed = key
            changed[index] ^= 0x80
            #expect(throws: CryptoError.openFailed, "byte \(index)") { try open(body, changed, header) }
        }
    }

    @Test func everyNumberOfTheHeader() throws {
        let (body, key, header) = (vectors["short.body"], vectors["short.wrapped.key"], vectors.header("short"))
        var others = [header, header, header, header]
        others[0].chat = ChatID(1)
        others[1].senderUser = UserID(1)
        others[2].senderDevice = DeviceID(1)
        others[3].clientMessageID += 1
        for other in others { #expect(throws: CryptoError.openFailed) { try open(body, key, other) } }
    }

    @Test func anotherSender() throws {
        let (body, key, header) = (vectors["short.body"], vectors["short.wrapped.key"], vectors.header("short"))
        #expect(throws: CryptoError.signatureInvalid) { try open(body, key, header, identity: bob.identityKey) }
        #expect(throws: CryptoError.signatureInvalid) { try open(body, key, header, identity: []) }
    }

    @Test func anotherDevice() throws {
        let (body, key, header) = (vectors["short.body"], vectors["short.wrapped.key"], vectors.header("short"))
        #expect(throws: CryptoError.openFailed) { try open(body, key, header, by: alice) }
        #expect(throws: CryptoError.notForThisDevice) { try open(body, [], header) }
        #expect(throws: CryptoError.malformed("a wrapped key has 48 bytes")) { try open(body, Array(key.dropLast()), header) }
    }

    @Test func everyLength() throws {
        let (body, key, header) = (vectors["short.body"], vectors["short.wrapped.key"], vectors.header("short"))
        for length in 0..<body.count { #expect(throws: CryptoError.self, "\(length) bytes") { try open(Array(body.prefix(length)), key, header) } }
        #expect(throws: CryptoError.self) { try open(body + [0], key, header) }
        let huge = [1] + [UInt8](repeating: 0, count: Limits.bodyBytesCeiling)
        #expect(throws: CryptoError.tooLarge) { try open(huge, key, header) }
    }

    @Test func unknownVersion() throws {
        var body = vectors["short.body"]
        body[0] = 2
        #expect(throws: CryptoError.malformed("version 2 of the envelope is not known here")) {
            try open(body, vectors["short.wrapped.key"], vectors.header("short"))
        }
    }

    // MARK: What a hostile sender could seal

    /// Seals any plaintext at all, as a sender that does not keep to the format could.
    func forge(_ plaintext: [UInt8], header: EnvelopeHeader) -> [UInt8] {
        let (key, ephemeral, nonce) = (vectors["short.content.key"], vectors["short.ephemeral.key"], vectors["short.nonce"])
        let bound = header.bound(to: ephemeral)
        var sealed = [UInt8](repeating: 0, count: plaintext.count + 16)
        crypto_aead_xchacha20poly1305_ietf_encrypt(&sealed, nil, plaintext, UInt64(plaintext.count), bound, UInt64(bound.count), nil, nonce, key)
        return [1] + ephemeral + nonce + sealed
    }

    func padded(_ plaintext: [UInt8]) -> [UInt8] {
        let size = EnvelopeV1.sizeClass(forUnpadded: plaintext.count)
        return plaintext + [0x80] + [UInt8](repeating: 0, count: size - plaintext.count - 1)
    }

    func signed(_ content: [UInt8], _ header: EnvelopeHeader) -> [UInt8] {
        alice.sign(header.bound(to: vectors["short.ephemeral.key"]) + content)
    }

    func openForged(_ plaintext: [UInt8]) throws(CryptoError) -> [UInt8] {
        let header = vectors.header("short")
        return try open(forge(plaintext, header: header), vectors["short.wrapped.key"], header)
    }

    @Test func forgeryWorksWhenItIsRight() throws {
        #expect(try openForged(padded(signed([1, 2], vectors.header("short")) + [0, 1, 2])) == [1, 2])
    }

    @Test func brokenSignature() throws {
        var signature = signed([1, 2], vectors.header("short"))
        for index in signature.indices {
            signature[index] ^= 4
            #expect(throws: CryptoError.signatureInvalid) { try openForged(padded(signature + [0, 1, 2])) }
            signature[index] ^= 4
        }
    }

    @Test func brokenPadding() throws {
        let plaintext = padded(signed([1, 2], vectors.header("short")) + [0, 1, 2])
        let marker = try #require(plaintext.lastIndex(of: 0x80))
        for index in plaintext.indices where index >= marker {
            var changed = plaintext
            changed[index] ^= 1
            #expect(throws: CryptoError.self, "byte \(index)") { try openForged(changed) }
        }
        #expect(throws: CryptoError.malformed("the padding is broken")) { try openForged([UInt8](repeating: 0, count: 128)) }
        #expect(throws: CryptoError.malformed("the sealed part is too short")) { try openForged([0x80] + [UInt8](repeating: 0, count: 127)) }
        #expect(throws: CryptoError.malformed("the body's length is none of the size classes")) {
            try openForged([UInt8](repeating: 0x80, count: 129))
        }
        #expect(throws: CryptoError.malformed("the body's length is none of the size classes")) {
            try openForged([UInt8](repeating: 0x80, count: 64))
        }
    }

    @Test func unknownCompression() throws {
        #expect(throws: CryptoError.malformed("the compression is not known here")) {
            try openForged(padded(signed([1, 2], vectors.header("short")) + [2, 1, 2]))
        }
    }

    @Test func brokenCompression() throws {
        let content = [UInt8](repeating: 7, count: 500)
        let compressed = try #require(Compression.deflate(content))
        let signature = signed(content, vectors.header("short"))
        #expect(try openForged(padded(signature + [1] + compressed)) == content)
        #expect(throws: CryptoError.malformed("bytes follow the compressed content")) { try openForged(padded(signature + [1] + compressed + [9])) }
        #expect(throws: CryptoError.malformed("the compressed content is broken")) { try openForged(padded(signature + [1] + compressed.dropLast())) }
        #expect(throws: CryptoError.malformed("the compressed content is broken")) { try openForged(padded(signature + [1])) }
    }

    /// A few kilobytes that would inflate to 64 MiB.
    @Test func decompressionBomb() throws {
        let zeros = [UInt8](repeating: 0, count: 64 * 1024 * 1024)
        let bomb = try #require(Compression.deflate(zeros))
        #expect(bomb.count < 128 * 1024)
        #expect(throws: CryptoError.tooLarge) { try openForged(padded([UInt8](repeating: 0, count: 64) + [1] + bomb)) }
        #expect(throws: CryptoError.tooLarge) { try Compression.inflate(bomb, limit: EnvelopeV1.contentBytes) }
    }

    // MARK: Keys

    /// The points of small order on Curve25519, as libsodium's list has them.
    static let lowOrder: [[UInt8]] = [
        [UInt8](repeating: 0, count: 32),
        [1] + [UInt8](repeating: 0, count: 31),
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1,
            0xfd,
            0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e,
            0x86,
            0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
        [0xec] + [UInt8](repeating: 0xff, count: 30) + [0x7f],
        [0xed] + [UInt8](repeating: 0xff, count: 30) + [0x7f],
        [0xee] + [UInt8](repeating: 0xff, count: 30) + [0x7f],
    ]

    @Test(arguments: lowOrder) func lowOrderKeys(point: [UInt8]) throws {
        // Signed correctly, and refused all the same.
        let signature = alice.sign(Signing.agreementMessage(agreementKey: point))
        #expect(!Signing.verifyAgreement(identityKey: alice.identityKey, agreementKey: point, signature: signature))
        #expect(throws: CryptoError.malformed("an agreement key is of low order")) {
            try EnvelopeV1.seal(
                [1], header: vectors.header("short"), sender: alice, recipients: [(UserID(1), DeviceID(1), point)], entropy: SystemEntropy())
        }
        var body = vectors["short.body"]
        body.replaceSubrange(1..<33, with: point)
        #expect(throws: CryptoError.openFailed) { try open(body, vectors["short.wrapped.key"], vectors.header("short")) }
    }

    @Test func wrongLengths() throws {
        let keys = alice.publicKeys
        for length in [0, 31, 33] {
            let bytes = [UInt8](repeating: 9, count: length)
            #expect(!Signing.verifyAgreement(identityKey: keys.identityKey, agreementKey: bytes, signature: keys.agreementSignature))
            #expect(!Signing.verifyAgreement(identityKey: bytes, agreementKey: keys.agreementKey, signature: keys.agreementSignature))
            #expect(!Signing.verifyAgreement(identityKey: keys.identityKey, agreementKey: keys.agreementKey, signature: bytes))
            #expect(throws: CryptoError.self) { try DeviceSecrets(identitySeed: bytes, agreementSecret: keys.agreementKey) }
            #expect(throws: CryptoError.self) { try DeviceSecrets(identitySeed: keys.agreementKey, agreementSecret: bytes) }
            #expect(throws: CryptoError.malformed("an agreement key has 32 bytes")) {
                try EnvelopeV1.seal(
                    [1], header: vectors.header("short"), sender: alice, recipients: [(UserID(1), DeviceID(1), bytes)], entropy: SystemEntropy())
            }
        }
    }

    @Test func tooMuchContent() throws {
        let content = [UInt8](repeating: 0, count: EnvelopeV1.contentBytes + 1)
        #expect(throws: CryptoError.tooLarge) {
            try EnvelopeV1.seal(content, header: vectors.header("short"), sender: alice, recipients: [], entropy: SystemEntropy())
        }
    }

    // MARK: Properties

    /// What is sealed opens on each device it was sealed for and on no other; lengths fall into size classes; no two bodies are alike.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func sealedOpens(seed: UInt64) throws {
        print("EnvelopeTests.sealedOpens seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let entropy = SeededEntropy(seed: seed ^ 1)
        let devices = (0..<4).map { _ in DeviceSecrets.generate(entropy) }
        let stranger = DeviceSecrets.generate(entropy)
        for round in 0..<200 {
            let count = [0, 1, 2, 62, 63, 64, Int.random(in: 0...5000, using: &generator)].randomElement(using: &generator) ?? 0
            let highest: UInt8 = Bool.random(using: &generator) ? 255 : 3
            let content = (0..<count).map { _ in UInt8.random(in: 0...highest, using: &generator) }
            let header = EnvelopeHeader(
                chat: ChatID(.random(in: 1...1 << 62, using: &generator)), senderUser: UserID(.random(in: 1...1 << 62, using: &generator)),
                senderDevice: DeviceID(.random(in: 1...1 << 62, using: &generator)), clientMessageID: .random(in: 0...UInt64.max, using: &generator))
            let recipients = devices.enumerated().map { (user: UserID(1), device: DeviceID(UInt64($0 + 1)), agreementKey: $1.agreementKey) }
            let sealed = try EnvelopeV1.seal(content, header: header, sender: devices[0], recipients: recipients, entropy: entropy)
            #expect(sealed.body.count <= EnvelopeV1.bodyBytes(forContent: count), "round \(round)")
            #expect((sealed.body.count - EnvelopeV1.overheadBytes).nonzeroBitCount == 1)
            for (device, key) in zip(devices, sealed.keys) {
                let opened = try EnvelopeV1.open(
                    body: sealed.body, wrappedKey: key.key, header: header, device: device, senderIdentityKey: devices[0].identityKey)
                #expect(opened == content, "round \(round)")
                #expect(throws: CryptoError.openFailed) {
                    try EnvelopeV1.open(
                        body: sealed.body, wrappedKey: key.key, header: header, device: stranger, senderIdentityKey: devices[0].identityKey)
                }
            }
            var changed = sealed.body
            changed[Int.random(in: 0..<changed.count, using: &generator)] ^= UInt8.random(in: 1...255, using: &generator)
            #expect(throws: CryptoError.self, "round \(round)") {
                try EnvelopeV1.open(
                    body: changed, wrappedKey: sealed.keys[0].key, header: header, device: devices[0], senderIdentityKey: devices[0].identityKey)
            }
        }
    }

    /// Bytes that nobody sealed never crash the receiver.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func garbage(seed: UInt64) {
        print("EnvelopeTests.garbage seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let body = [1] + (0..<Int.random(in: 0...400, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let key = (0..<Int.random(in: 0...60, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            #expect(throws: CryptoError.self) { try open(body, key, vectors.header("short")) }
            #expect(throws: CryptoError.self) { try Compression.inflate(Array(body.dropFirst()), limit: 1000) }
        }
    }

    @Test func wiping() {
        var secret: [UInt8] = [1, 2, 3]
        wipe(&secret)
        #expect(secret == [0, 0, 0])
        let key = SecretKey(copying: [4, 5, 6])
        #expect(key.count == 3 && key.copyBytes() == [4, 5, 6])
    }
}
