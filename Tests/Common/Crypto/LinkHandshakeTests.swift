import RelayModel
import Testing

@testable import RelayCrypto

@Suite struct LinkHandshakeTests {
    let vectors: Vectors
    let phone: DeviceSecrets
    let laptop: DeviceSecrets

    init() throws {
        vectors = try Vectors()
        phone = try vectors.secrets("alice")
        laptop = try vectors.secrets("bob")
    }

    private func old(_ entropy: any Entropy = SystemEntropy()) -> LinkHandshake.Old {
        LinkHandshake.Old(identityKey: phone.identityKey, user: UserID(5), device: DeviceID(6), entropy: entropy)
    }

    private func linked() throws -> (old: LinkHandshake.Session, new: LinkHandshake.Session) {
        let old = old()
        let new = LinkHandshake.New(code: try LinkHandshake.Code(old.code.text), device: laptop, deviceName: "laptop", entropy: SystemEntropy())
        let answered = try old.answer(new.sealedHello(SystemEntropy()), entropy: SystemEntropy())
        return (answered.session, try new.read(answer: answered.answer).session)
    }

    /// The worked example, computed by another program from the specification alone.
    @Test func workedExample() throws {
        let old = old(FixedEntropy(vectors["link.old.ephemeral.secret"]))
        #expect(old.code.secret == vectors["link.secret"])
        #expect(old.code.linkID == vectors["link.id"])
        #expect(old.code.text == "061C-680B-QYP9-ERR8-VPMA-N84T-910V-M02X")
        #expect(CrockfordBase32.decode(old.code.text, count: 20) == vectors["link.code"])
        let code = try LinkHandshake.Code("061c 680b-qyp9err8 vpman84t-91ov-mo2x")
        #expect(code == old.code)

        let new = LinkHandshake.New(
            code: code, device: laptop, deviceName: "laptop", entropy: FixedEntropy(vectors["link.new.ephemeral.secret"]))
        #expect(LinkHandshake.claim(code, of: laptop) == vectors["link.claim"])
        let hello = new.sealedHello(FixedEntropy(vectors["link.hello.nonce"]))
        #expect(hello == vectors["link.hello.sealed"])
        let answered = try old.answer(hello, entropy: FixedEntropy(vectors["link.answer.nonce"]))
        #expect(answered.answer == vectors["link.answer.sealed"])
        #expect(answered.hello.bytes == vectors["link.hello"])
        #expect(answered.hello.deviceName == "laptop" && answered.hello.identityKey == laptop.identityKey)
        let (offer, session) = try new.read(answer: answered.answer)
        #expect(offer.bytes == vectors["link.offer"] && offer.user == UserID(5) && offer.device == DeviceID(6))
        #expect(session.number == "168861" && answered.session.number == "168861")
        for both in [session, answered.session] {
            #expect(both.toNew.copyBytes() == vectors["link.key.to.new"])
            #expect(both.toOld.copyBytes() == vectors["link.key.to.old"])
        }
        var sealer = answered.session.sealer(.toNew)
        #expect(sealer.seal(vectors["link.part.0"], last: false) == vectors["link.part.0.sealed"])
        #expect(sealer.seal(vectors["link.part.1"], last: true) == vectors["link.part.1.sealed"])
        var receipt = session.sealer(.toOld)
        #expect(receipt.seal([], last: true) == vectors["link.receipt.sealed"])
    }

    @Test func aTypingErrorInTheCodeIsFound() throws {
        let text = old().code.text
        for (index, character) in text.enumerated() where character != "-" {
            for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ" where other != character {
                var wrong = Array(text)
                wrong[index] = other
                #expect(throws: CryptoError.self) { try LinkHandshake.Code(String(wrong)) }
            }
        }
        for bad in ["", "0", String(text.dropLast()), text + "0", "U" + text.dropFirst(), "ä" + text.dropFirst()] {
            #expect(throws: CryptoError.self, "\(bad)") { try LinkHandshake.Code(bad) }
        }
    }

    @Test func whatIsChangedOnTheWayDoesNotOpen() throws {
        let old = old()
        let new = LinkHandshake.New(code: old.code, device: laptop, deviceName: "laptop", entropy: SystemEntropy())
        let hello = new.sealedHello(SystemEntropy())
        let answer = try old.answer(hello, entropy: SystemEntropy()).answer
        for index in hello.indices {
            var changed = hello
            changed[index] ^= 1
            #expect(throws: CryptoError.self) { try old.answer(changed, entropy: SystemEntropy()) }
        }
        for index in answer.indices {
            var changed = answer
            changed[index] ^= 1
            #expect(throws: CryptoError.self) { try new.read(answer: changed) }
        }
        for count in 0..<60 {
            #expect(throws: CryptoError.self) { try old.answer(Array(hello.prefix(count)), entropy: SystemEntropy()) }
            #expect(throws: CryptoError.self) { try new.read(answer: Array(answer.prefix(count))) }
        }
        // One cannot stand in the place of the other.
        #expect(throws: CryptoError.self) { try new.read(answer: hello) }
        #expect(throws: CryptoError.self) { try old.answer(answer, entropy: SystemEntropy()) }
    }

    /// Whoever has the code, and sits between the devices.
    @Test func theCodeDoesNotMakeAnotherOffer() throws {
        let old = old()
        let new = LinkHandshake.New(code: old.code, device: laptop, deviceName: "laptop", entropy: SystemEntropy())
        let mallory = DeviceSecrets.generate(SystemEntropy())
        // Another offer, sealed with the key that the code gives.
        let other = LinkHandshake.Offer(ephemeralKey: mallory.agreementKey, identityKey: mallory.identityKey, user: UserID(5), device: DeviceID(6))
        let forged = Self.seal(other.bytes, context: LinkHandshake.answerContext, old.code)
        #expect(throws: CryptoError.openFailed) { try new.read(answer: forged) }
        // Another hello gives another number than the one that the real new device shows.
        let between = LinkHandshake.New(
            code: old.code, device: mallory, deviceName: "laptop", entropy: FixedEntropy(vectors["link.new.ephemeral.secret"]))
        let answered = try old.answer(between.sealedHello(SystemEntropy()), entropy: SystemEntropy())
        let honest = try new.read(answer: answered.answer)
        #expect(honest.session.toNew.copyBytes() != answered.session.toNew.copyBytes())
        var sealer = answered.session.sealer(.toNew)
        var opener = honest.session.opener(.toNew)
        let part = sealer.seal([1], last: true)
        #expect(throws: CryptoError.openFailed) { try opener.open(part) }
    }

    @Test func aHelloWithKeysThatDoNotBelongTogetherIsRefused() throws {
        let old = old()
        let hello = LinkHandshake.Hello(ephemeralKey: phone.agreementKey, device: laptop, deviceName: "laptop").bytes
        for (range, error) in [(32..<64, CryptoError.signatureInvalid), (64..<96, .signatureInvalid), (96..<160, .signatureInvalid)] {
            var changed = hello
            changed[range.lowerBound] ^= 1
            let sealed = Self.seal(changed, context: LinkHandshake.helloContext, old.code)
            #expect(throws: error) { try old.answer(sealed, entropy: SystemEntropy()) }
        }
        // Keys of low order give everybody the same secret.
        let lowOrder = [UInt8](repeating: 0, count: 32) + hello.dropFirst(32)
        #expect(throws: CryptoError.self) {
            try old.answer(Self.seal(lowOrder, context: LinkHandshake.helloContext, old.code), entropy: SystemEntropy())
        }
        #expect(throws: CryptoError.self) {
            try old.answer(Self.seal(Array(hello.prefix(160)), context: LinkHandshake.helloContext, old.code), entropy: SystemEntropy())
        }
        #expect(throws: CryptoError.self) {
            try old.answer(Self.seal(hello.prefix(160) + [0xff], context: LinkHandshake.helloContext, old.code), entropy: SystemEntropy())
        }
    }

    /// What the handshake itself does, for bytes of one's own.
    private static func seal(_ bytes: [UInt8], context: [UInt8], _ code: LinkHandshake.Code) -> [UInt8] {
        LinkHandshake.seal(bytes, key: code.key(context), code, SystemEntropy())
    }

    // MARK: Parts

    @Test func partsComeOnceAndInOrder() throws {
        let (old, new) = try linked()
        var sealer = old.sealer(.toNew)
        let parts = [sealer.seal([1], last: false), sealer.seal([], last: false), sealer.seal([3], last: true)]
        var opener = new.opener(.toNew)
        #expect(throws: CryptoError.openFailed) { try opener.open(parts[1]) }
        #expect(try opener.open(parts[0]) == [1])
        #expect(throws: CryptoError.openFailed) { try opener.open(parts[0]) }
        #expect(throws: CryptoError.openFailed) { try opener.open(parts[2]) }
        #expect(try opener.open(parts[1]) == [])
        #expect(!opener.isComplete, "the end was cut off")
        for index in parts[2].indices {
            var changed = parts[2]
            changed[index] ^= 0x80
            #expect(throws: CryptoError.openFailed) { try opener.open(changed) }
        }
        #expect(throws: CryptoError.openFailed) { try opener.open([]) }
        #expect(try opener.open(parts[2]) == [3])
        #expect(opener.isComplete)
        #expect(throws: CryptoError.openFailed) { try opener.open(parts[2]) }
        // The other direction has another key.
        var reverse = new.opener(.toOld)
        #expect(throws: CryptoError.openFailed) { try reverse.open(parts[0]) }
        // And another link has other ones.
        var stranger = try linked().new.opener(.toNew)
        #expect(throws: CryptoError.openFailed) { try stranger.open(parts[0]) }
    }

    @Test func theNumberMayBeTypedInGroups() throws {
        let session = try linked().old
        let number = session.number
        #expect(number.count == 6 && number.allSatisfy { $0.isASCII && $0.isNumber })
        #expect(
            session.matches(number) && session.matches(" \(number.prefix(3)) \(number.suffix(3))\n")
                && session.matches("\(number.prefix(3))-\(number.suffix(3))"))
        #expect(!session.matches("") && !session.matches(number + "0") && !session.matches(String(number.reversed() + "1")))
    }
}
