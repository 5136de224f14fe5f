import Testing

@testable import RelayCrypto

/// A message is opened with its content key alone as with the wrapped one.
@Suite struct ContentKeyTests {
    @Test func opensWithTheContentKey() throws {
        let vectors = try Vectors()
        let (body, header) = (vectors["short.body"], vectors.header("short"))
        let key = try EnvelopeV1.unwrap(vectors["short.wrapped.key"], of: body, agreement: vectors.secrets("bob").agreementSecret)
        #expect(key == vectors["short.content.key"])
        let identity = vectors["alice.identity.key"]
        #expect(try EnvelopeV1.open(body: body, contentKey: key, header: header, senderIdentityKey: identity) == vectors["short.content"])
        #expect(throws: CryptoError.signatureInvalid) {
            try EnvelopeV1.open(body: body, contentKey: key, header: header, senderIdentityKey: vectors["bob.identity.key"])
        }
        var other = header
        other.clientMessageID += 1
        #expect(throws: CryptoError.openFailed) { try EnvelopeV1.open(body: body, contentKey: key, header: other, senderIdentityKey: identity) }
        #expect(throws: CryptoError.openFailed) {
            try EnvelopeV1.open(body: body, contentKey: [UInt8](repeating: 0, count: 32), header: header, senderIdentityKey: identity)
        }
        for bad in [[], [UInt8](repeating: 0, count: 31), [UInt8](repeating: 0, count: 48)] {
            #expect(throws: CryptoError.self) { try EnvelopeV1.open(body: body, contentKey: bad, header: header, senderIdentityKey: identity) }
        }
    }
}
