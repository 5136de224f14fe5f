import CSodium
import RelayModel
import Testing

@testable import RelayCrypto

/// The worked example, computed by another program from the specification alone, comes out of this code byte for byte.
@Suite struct VectorTests {
    let vectors: Vectors

    init() throws { vectors = try Vectors() }

    @Test(arguments: ["alice", "bob"]) func deviceKeys(name: String) throws {
        let secrets = try vectors.secrets(name)
        let keys = secrets.publicKeys
        #expect(keys.identityKey == vectors["\(name).identity.key"])
        #expect(keys.agreementKey == vectors["\(name).agreement.key"])
        #expect(keys.agreementSignature == vectors["\(name).agreement.signature"])
        #expect(Array(Hashing.blake2b256(keys.identityKey).prefix(16)) == vectors["\(name).fingerprint"])
        #expect(Signing.verifyAgreement(identityKey: keys.identityKey, agreementKey: keys.agreementKey, signature: keys.agreementSignature))
    }

    @Test func generatedFromTheSameBytes() throws {
        let drawn = DeviceSecrets.generate(FixedEntropy(vectors["alice.identity.seed"] + vectors["alice.agreement.secret"]))
        #expect(drawn.identityKey == vectors["alice.identity.key"])
        #expect(drawn.agreementKey == vectors["alice.agreement.key"])
        #expect(drawn.copySecrets().identitySeed == vectors["alice.identity.seed"])
        #expect(drawn.copySecrets().agreementSecret == vectors["alice.agreement.secret"])
    }

    @Test func authentication() throws {
        #expect(Signing.agreementMessage(agreementKey: vectors["alice.agreement.key"]) == vectors["alice.agreement.message"])
        let message = Signing.authenticationMessage(device: DeviceID(vectors.number("auth.device")), challenge: vectors["auth.challenge"])
        #expect(message == vectors["auth.message"])
        #expect(try vectors.secrets("alice").sign(message) == vectors["auth.signature"])
        #expect(Signing.verify(signature: vectors["auth.signature"], message: message, publicKey: vectors["alice.identity.key"]))
    }

    @Test(arguments: ["short", "long"]) func envelope(name: String) throws {
        let header = vectors.header(name)
        #expect(header.bound(to: vectors["\(name).ephemeral.key"]) == vectors["\(name).associated.data"])
        let sealed = try EnvelopeV1.seal(
            vectors["\(name).content"], header: header, sender: vectors.secrets("alice"),
            recipients: [(UserID(7), DeviceID(8), vectors["bob.agreement.key"])],
            entropy: FixedEntropy(vectors["\(name).content.key"] + vectors["\(name).ephemeral.secret"] + vectors["\(name).nonce"]))
        #expect(sealed.body == vectors["\(name).body"])
        #expect(sealed.keys == [WrappedEnvelopeKey(user: UserID(7), device: DeviceID(8), key: vectors["\(name).wrapped.key"])])
        #expect(
            EnvelopeV1.wrapNonce(ephemeralKey: vectors["\(name).ephemeral.key"], agreementKey: vectors["bob.agreement.key"])
                == vectors["\(name).wrap.nonce"])
        let opened = try EnvelopeV1.open(
            body: vectors["\(name).body"], wrappedKey: vectors["\(name).wrapped.key"], header: header, device: vectors.secrets("bob"),
            senderIdentityKey: vectors["alice.identity.key"])
        #expect(opened == vectors["\(name).content"])
    }

    /// A wrapped key behind the ephemeral key is exactly what `crypto_box_seal_open` opens.
    @Test func wrappedKeyIsASealedBox() throws {
        let box = vectors["short.ephemeral.key"] + vectors["short.wrapped.key"]
        var key = [UInt8](repeating: 0, count: 32)
        #expect(crypto_box_seal_open(&key, box, UInt64(box.count), vectors["bob.agreement.key"], vectors["bob.agreement.secret"]) == 0)
        #expect(key == vectors["short.content.key"])
    }

    @Test func fingerprintForPeople() throws {
        let text = Hashing.fingerprint(identityKey: vectors["alice.identity.key"])
        #expect(text == "9d24 e2ee af27 c2a0 88a5 64a3 2fc0 3a88")
    }

    /// RFC 7693 has no keyed 32-byte example; BLAKE2b-256 of nothing is well known.
    @Test func hashing() {
        let nothing = Hashing.blake2b256([])
        #expect(nothing.prefix(4) == [0x0e, 0x57, 0x51, 0xc0])
        let key = [UInt8](repeating: 1, count: 32)
        #expect(Hashing.keyed([1, 2, 3], key: key) != Hashing.blake2b256([1, 2, 3]))
        #expect(Hashing.equal([1, 2], [1, 2]) && !Hashing.equal([1, 2], [1, 3]) && !Hashing.equal([1], [1, 2]) && Hashing.equal([], []))
    }
}
