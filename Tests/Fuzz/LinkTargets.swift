import RelayCrypto
import RelayModel

/// What a device that is being linked, or links one, reads from the relay before it knows who is there: a hello, an answer, a part; and what a person
/// types. The first byte of an input says which.
struct LinkTarget: FuzzTarget {
    static let name = "link"

    private struct Bytes: Entropy {
        let first: UInt8
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 29) &+ first } }
    }

    private let old: LinkHandshake.Old
    private let new: LinkHandshake.New
    private let hello: [UInt8]
    private let answer: [UInt8]
    private let parts: [[UInt8]]
    private let session: LinkHandshake.Session

    init() throws {
        let phone = DeviceSecrets.generate(Bytes(first: 1))
        let laptop = DeviceSecrets.generate(Bytes(first: 2))
        old = LinkHandshake.Old(identityKey: phone.identityKey, user: UserID(5), device: DeviceID(6), entropy: Bytes(first: 3))
        new = LinkHandshake.New(code: old.code, device: laptop, deviceName: "laptop, Mühle", entropy: Bytes(first: 4))
        hello = new.sealedHello(Bytes(first: 5))
        let answered = try old.answer(hello, entropy: Bytes(first: 6))
        (answer, session) = (answered.answer, answered.session)
        var sealer = session.sealer(.toNew)
        parts = [sealer.seal([1, 2, 3], last: false), sealer.seal([], last: true)]
    }

    func run(_ input: [UInt8]) throws {
        guard let which = input.first else { return }
        let bytes = Array(input.dropFirst())
        switch which % 4 {
        case 0:
            if (try? old.answer(bytes, entropy: Bytes(first: 7))) != nil, bytes != hello { throw Finding("a hello opened that nobody sealed") }
        case 1: if (try? new.read(answer: bytes)) != nil, bytes != answer { throw Finding("an answer was taken that nobody gave") }
        case 2:
            var opener = session.opener(.toNew)
            if (try? opener.open(bytes)) != nil, bytes != parts[0] { throw Finding("a part opened that is not the next one") }
        default:
            guard let text = String(validating: bytes, as: UTF8.self), let code = try? LinkHandshake.Code(text) else { return }
            guard try LinkHandshake.Code(code.text) == code else { throw Finding("a code is read back as another one") }
        }
    }

    func corpus() throws -> [(name: String, bytes: [UInt8])] {
        [
            ("hello", [0] + hello), ("answer", [1] + answer), ("first-part", [2] + parts[0]), ("last-part", [2] + parts[1]),
            ("code", [3] + Array(old.code.text.utf8)), ("code-small", [3] + Array(old.code.text.lowercased().filter { $0 != "-" }.utf8)),
        ]
    }
}
