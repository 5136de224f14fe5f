import Foundation
import NIOCore
import RelayHTTP
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayGateway

/// One field as a test writes it, also in ways that no encoder would.
private struct WireField {
    var number: UInt64
    var type: UInt64
    var payload: [UInt8]

    static func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    static func number(_ field: UInt64, _ value: UInt64) -> WireField { WireField(number: field, type: 0, payload: varint(value)) }
    static func bytes(_ field: UInt64, _ bytes: [UInt8]) -> WireField {
        WireField(number: field, type: 2, payload: varint(UInt64(bytes.count)) + bytes)
    }
    static func message(_ field: UInt64, _ fields: [WireField]) -> WireField { .bytes(field, fields.flatMap(\.encoded)) }

    var encoded: [UInt8] { WireField.varint(number << 3 | type) + payload }
}

/// Makes frames: right ones as an encoder writes them, and right and wrong ones as nobody does.
private struct FrameMaker {
    var random: SeededGenerator
    /// Out of ten fields so many are strange.
    var strange: Int

    private mutating func chance(_ of: Int) -> Bool { Int.random(in: 0..<of, using: &random) == 0 }
    private mutating func isStrange() -> Bool { strange > 0 && Int.random(in: 0..<40, using: &random) < strange }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) } }

    /// Mostly an identifier; sometimes 0 or more than 63 bits, when strange.
    mutating func id() -> UInt64 {
        if isStrange() { return [0, .max, 1 << 63, 1 << 32].randomElement(using: &random) ?? 0 }
        return UInt64.random(in: 1...(UInt64(1) << UInt64.random(in: 1...62, using: &random)), using: &random)
    }

    mutating func ascending(_ count: Int) -> [UInt64] {
        var numbers: Set<UInt64> = []
        while numbers.count < count { numbers.insert(.random(in: 1...(1 << 50), using: &random)) }
        var sorted = numbers.sorted()
        if isStrange() { sorted.shuffle(using: &random) }
        if isStrange(), let one = sorted.randomElement(using: &random) { sorted.append(one) }
        return sorted
    }

    mutating func unknown() -> WireField {
        let number = [8, 15, 16, 99, 20_000, (1 << 29) - 1, 1 << 29].randomElement(using: &random) ?? 99
        switch Int.random(in: 0..<7, using: &random) {
        case 0: return .number(UInt64(number), .random(in: .min ... .max, using: &random))
        case 1: return WireField(number: UInt64(number), type: 1, payload: bytes(8))
        case 2: return WireField(number: UInt64(number), type: 5, payload: bytes(4))
        case 3: return .bytes(UInt64(number), bytes(Int.random(in: 0...20, using: &random)))
        case 4:
            let nested = WireField(number: 3, type: 3, payload: WireField(number: 3, type: 4, payload: []).encoded)
            let inner = chance(2) ? WireField.number(5, 7) : nested
            let end = WireField(number: UInt64(chance(5) ? 98 : number), type: 4, payload: [])
            return WireField(number: UInt64(number), type: 3, payload: inner.encoded + end.encoded)
        case 5: return WireField(number: UInt64(number), type: UInt64.random(in: 4...7, using: &random), payload: bytes(2))
        default: return WireField(number: 0, type: 0, payload: [1])
        }
    }

    /// Turns the fields of a message into what has the same meaning, or not.
    mutating func disturb(_ fields: [WireField]) -> [WireField] {
        var fields = fields
        if isStrange() { fields.shuffle(using: &random) }
        if isStrange() { fields.insert(unknown(), at: Int.random(in: 0...fields.count, using: &random)) }
        if isStrange(), let again = fields.randomElement(using: &random) { fields.append(again) }
        if isStrange(), let index = fields.indices.randomElement(using: &random), fields[index].type == 0 {
            // Another value first: the last one counts.
            fields.insert(.number(fields[index].number, .random(in: .min ... .max, using: &random)), at: index)
        }
        if isStrange(), let index = fields.indices.randomElement(using: &random), fields[index].type == 0 {
            // A number in more bytes than it needs, sometimes in more than there can be.
            let count = Int.random(in: 1...11, using: &random)
            fields[index].payload = [UInt8](repeating: 0x81, count: count) + [UInt8.random(in: 0...3, using: &random)]
        }
        if isStrange(), let index = fields.indices.randomElement(using: &random) { fields[index].type = .random(in: 0...7, using: &random) }
        if isStrange(), let index = fields.indices.randomElement(using: &random),
            let byte = fields[index].payload.indices.randomElement(using: &random)
        {
            fields[index].payload[byte] = .random(in: .min ... .max, using: &random)
        }
        if isStrange(), let index = fields.indices.randomElement(using: &random) { fields.remove(at: index) }
        return fields
    }

    mutating func keys(_ field: UInt64) -> [WireField] {
        ascending(Int.random(in: 0...4, using: &random)).map { user in
            var member: [WireField] = [.number(1, user)]
            for device in ascending(Int.random(in: 0...(isStrange() ? 20 : 3), using: &random)) {
                let size = isStrange() ? [0, 256, 257].randomElement(using: &random) ?? 0 : 48
                let key = bytes(size)
                let version = Bool.random(using: &random) ? [WireField.number(3, .random(in: 1...9, using: &random))] : []
                member.append(.message(2, disturb([.number(1, device), .bytes(2, key)] + version)))
            }
            return .message(field, disturb(member))
        }
    }

    /// Repeated numbers: packed, single, or some of each.
    mutating func repeated(_ field: UInt64, _ values: [UInt64]) -> [WireField] {
        if values.isEmpty { return [] }
        if !isStrange() { return [.bytes(field, values.flatMap(WireField.varint))] }
        let cut = Int.random(in: 0...values.count, using: &random)
        return values[..<cut].map { .number(field, $0) } + [.bytes(field, values[cut...].flatMap(WireField.varint))]
    }

    mutating func kind() -> WireField {
        switch Int.random(in: 0..<8, using: &random) {
        case 0...2:
            let body = bytes(isStrange() ? [0, 1000, 1001].randomElement(using: &random) ?? 0 : Int.random(in: 1...300, using: &random))
            return .message(2, disturb([.number(1, id()), .number(2, id()), .bytes(3, body)] + keys(4)))
        case 3: return .message(3, disturb([.number(1, id())]))
        case 4: return .message(4, disturb([.number(1, id()), .number(2, id())]))
        case 5: return .message(5, disturb([]))
        case 6:
            let action = UInt64.random(in: 1...(isStrange() ? 8 : 6), using: &random)
            var fields: [WireField] = action == 1 && !isStrange() ? [] : [.number(1, id())]
            fields += [.number(2, id()), .number(3, action)]
            if action != 4, action != 5 || isStrange() { fields += repeated(4, ascending(Int.random(in: 1...5, using: &random))) }
            if action == 6 || isStrange() { fields.append(.number(5, .random(in: 1...(isStrange() ? 5 : 3), using: &random))) }
            if action == 5 || (action != 1 && chance(2)) || isStrange() { fields += [.bytes(6, bytes(40))] + keys(7) }
            return .message(6, disturb(fields))
        default:
            var fields: [WireField] = [.number(1, id()), .number(2, id())]
            fields += repeated(3, ascending(Int.random(in: 1...(isStrange() ? 300 : 6), using: &random)))
            if chance(2) { fields.append(.number(4, 1)) }
            return .message(7, disturb(fields))
        }
    }

    mutating func frame() -> [UInt8] {
        var fields = [WireField.number(1, .random(in: 0...(1 << 40), using: &random)), kind()]
        if isStrange() { fields.append(kind()) }
        var bytes = disturb(fields).flatMap(\.encoded)
        if isStrange(), !bytes.isEmpty { bytes.removeLast(Int.random(in: 1...bytes.count, using: &random)) }
        return bytes
    }
}

/// Everything that a request says.
private func text(_ request: ClientRequest) -> String {
    func keys(_ keys: [MemberKeys]) -> String { keys.map { "\($0.user):\($0.keys.bytes.readableBytesView.map { $0 })" }.joined(separator: ",") }
    func bytes(_ buffer: ByteBuffer) -> String { "\(Array(buffer.readableBytesView))" }
    switch request {
    case .send(let id, let send): return "\(id) send \(send.chat) \(send.clientMessageID) \(bytes(send.body)) \(keys(send.keys))"
    case .acknowledge(let seq): return "ack \(seq)"
    case .read(let id, let chat, let seq): return "\(id) read \(chat) \(seq)"
    case .ping(let id): return "\(id) ping"
    case .changeGroup(let id, let change):
        return "\(id) change \(change.chat as Any) \(change.clientMessageID) \(change.action) \(change.users) \(change.role as Any) "
            + "\(bytes(change.body)) \(keys(change.keys))"
    case .delete(let id, let delete): return "\(id) delete \(delete.chat) \(delete.clientMessageID) \(delete.seqs) \(delete.forEveryone)"
    case .contactsSeen(let version): return "seen \(version)"
    case .presence(let id, let mode): return "\(id) presence \(mode)"
    case .invalid(let id, let failure): return "\(id) invalid \(failure.code) \(failure.message)"
    case .unreadable(let failure): return "unreadable \(failure.code) \(failure.message)"
    case .wrongType: return "wrong type"
    }
}

@Suite struct PlainRequestsTests {
    private static let maxBody = 1000

    private static func both(_ bytes: [UInt8], at offset: Int = 0) -> (plain: ClientRequest?, any: ClientRequest) {
        var buffer = ByteBuffer(repeating: 0xEE, count: offset)
        buffer.writeBytes(bytes)
        buffer.moveReaderIndex(forwardBy: offset)
        return (
            ClientRequest(plain: buffer, maxBodyBytes: maxBody), ClientRequest(any: .binary(ByteBuffer(bytes: bytes)), .proto, maxBodyBytes: maxBody)
        )
    }

    /// What an encoder writes is read without SwiftProtobuf, with the same result.
    @Test func usualFrames() {
        let seed = UInt64.random(in: .min ... .max)
        print("usual frames: seed \(seed)")
        var maker = FrameMaker(random: SeededGenerator(seed: seed), strange: 0)
        for round in 0..<2000 {
            let bytes = maker.frame()
            let (plain, any) = Self.both(bytes, at: round % 9)
            #expect(plain.map(text) == text(any), "seed \(seed) round \(round): \(bytes)")
            if case .invalid = any { Issue.record("seed \(seed) round \(round): \(text(any)): \(bytes)") }
            if case .unreadable = any { Issue.record("seed \(seed) round \(round): \(text(any)): \(bytes)") }
        }
    }

    /// Unknown fields, fields in another order, repeated and overlong ones, groups, two kinds, wrong types, wrong values, cut and changed
    /// bytes: what is read without SwiftProtobuf is what SwiftProtobuf reads.
    @Test(arguments: [1, 2, 5]) func strangeFrames(strange: Int) {
        let seed = UInt64.random(in: .min ... .max)
        print("strange frames: seed \(seed)")
        var maker = FrameMaker(random: SeededGenerator(seed: seed), strange: strange)
        var plainOnes = 0
        var wrong = 0
        for round in 0..<6000 {
            let bytes = maker.frame()
            let (plain, any) = Self.both(bytes)
            switch any {
            case .invalid, .unreadable: wrong += 1
            default: break
            }
            guard let plain else { continue }
            plainOnes += 1
            #expect(text(plain) == text(any), "seed \(seed) round \(round): \(bytes)")
        }
        // Both paths were used, and both kinds of frames were there.
        #expect(plainOnes > 500 && plainOnes < 6000 && wrong > 200)
    }

    @Test func randomBytes() {
        let seed = UInt64.random(in: .min ... .max)
        print("random bytes: seed \(seed)")
        var random = SeededGenerator(seed: seed)
        for round in 0..<20_000 {
            var bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            // The tags of the schema more often than chance gives them.
            for index in bytes.indices where Bool.random(using: &random) {
                bytes[index] = [0x08, 0x10, 0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x02, 0x04].randomElement(using: &random) ?? 0
            }
            let (plain, any) = Self.both(bytes)
            guard let plain else { continue }
            #expect(text(plain) == text(any), "seed \(seed) round \(round): \(bytes)")
        }
    }

    /// Each frame that SwiftProtobuf writes, cut at every byte.
    @Test func cutFrames() throws {
        var frame = Relay_V1_ClientFrame()
        frame.requestID = 300
        frame.send.chatID = 1 << 40
        frame.send.clientMessageID = 5
        frame.send.body = Data(repeating: 7, count: 200)
        frame.send.keys = [UInt64(1), 2].map { user in
            var member = Relay_V1_MemberKeys()
            member.userID = user << 33
            member.devices = [UInt64(3), 4].map { device in
                var key = Relay_V1_WrappedKey()
                key.deviceID = device << 34
                key.key = Data(repeating: UInt8(device), count: 48)
                return key
            }
            return member
        }
        let bytes: [UInt8] = try frame.serializedBytes()
        #expect(Self.both(bytes).plain != nil)
        for end in 0..<bytes.count {
            let (plain, any) = Self.both(Array(bytes[..<end]))
            if let plain { #expect(text(plain) == text(any), "cut at \(end)") }
        }
    }

    /// The body of a frame and the keys of all members are not copied for each.
    @Test func bodiesAndKeysAreSlices() throws {
        var maker = FrameMaker(random: SeededGenerator(seed: 5), strange: 0)
        let send = WireField.message(
            2,
            [.number(1, 9), .number(2, 1), .bytes(3, maker.bytes(500))]
                + [7, 8].map { user in
                    .message(4, [.number(1, user), .message(2, [.number(1, 70 + user), .bytes(2, [1, 2, 3])])])
                })
        let frame = ByteBuffer(bytes: send.encoded)
        guard case .send(_, let checked)? = ClientRequest(plain: frame, maxBodyBytes: Self.maxBody) else {
            Issue.record("not read")
            return
        }
        func start(_ buffer: ByteBuffer) -> UnsafeRawPointer? { buffer.withUnsafeReadableBytes { $0.baseAddress } }
        let base = try #require(start(frame))
        let body = try #require(start(checked.body))
        #expect(body > base && body < base + frame.readableBytes)
        let keys = try checked.keys.map { try #require(start($0.keys.bytes)) }
        #expect(keys[1] == keys[0] + checked.keys[0].keys.bytes.readableBytes)
        #expect(checked.keys[1].keys.key(for: DeviceID(78)) == ByteBuffer(bytes: [1, 2, 3]))
    }

    // MARK: Checks

    private func refusal(_ fields: [WireField], kind: UInt64) -> String? {
        let (plain, any) = Self.both(WireField.number(1, 4).encoded + WireField.message(kind, fields).encoded)
        #expect(plain == nil)
        guard case .invalid(4, let failure) = any else { return nil }
        return "\(failure.code.rawValue): \(failure.message)"
    }

    @Test func keysMustAscend() {
        func keys(_ members: [(UInt64, [UInt64])]) -> [WireField] {
            [.number(1, 9), .number(2, 1), .bytes(3, [1])]
                + members.map { user, devices in
                    .message(4, [.number(1, user)] + devices.map { .message(2, [.number(1, $0), .bytes(2, [1])]) })
                }
        }
        #expect(refusal(keys([(2, [1]), (1, [1])]), kind: 2) == "malformed: the users of keys must ascend by user_id, each once")
        #expect(refusal(keys([(2, [1]), (2, [2])]), kind: 2) == "malformed: the users of keys must ascend by user_id, each once")
        #expect(refusal(keys([(2, [1, 1])]), kind: 2) == "malformed: the devices of a user must ascend by device_id, each once")
        #expect(refusal(keys([(2, [2, 1])]), kind: 2) == "malformed: the devices of a user must ascend by device_id, each once")
        #expect(refusal(keys([(2, Array(1...17))]), kind: 2) == "malformed: keys for more than 16 devices of a user")
        #expect(refusal(keys((1...1001).map { ($0, []) }), kind: 2) == "malformed: keys for more than 1000 members")
        // A device of a later user may have a lower number than one of an earlier user.
        let fine = Self.both(WireField.message(2, keys([(1, [5, 6]), (2, [3])])).encoded)
        #expect(fine.plain.map(text) == text(fine.any))
    }

    @Test func groupChanges() {
        func change(_ action: UInt64, chat: UInt64 = 9, users: [UInt64] = [], role: UInt64? = nil, body: [UInt8] = [], keys: Bool = false) -> String?
        {
            var fields: [WireField] = [.number(1, chat), .number(2, 1), .number(3, action)]
            if !users.isEmpty { fields.append(.bytes(4, users.flatMap(WireField.varint))) }
            if let role { fields.append(.number(5, role)) }
            if !body.isEmpty { fields.append(.bytes(6, body)) }
            if keys { fields.append(.message(7, [.number(1, 3)])) }
            return refusal(fields, kind: 6)
        }
        #expect(change(0)?.contains("action must be") == true && change(7)?.contains("action must be") == true)
        #expect(change(1)?.contains("no chat_id yet") == true && change(2, chat: 0)?.contains("chat_id must be") == true)
        #expect(change(1, chat: 0, body: [1])?.contains("CREATE has no body") == true)
        #expect(change(2)?.contains("must name somebody") == true && change(3)?.contains("must name somebody") == true)
        #expect(change(4, users: [3])?.contains("have no user_ids") == true && change(5, users: [3], body: [1])?.contains("have no user_ids") == true)
        #expect(change(5)?.contains("RENAME needs a body") == true && change(4, keys: true)?.contains("keys without a body") == true)
        #expect(change(6, users: [3])?.contains("role must be") == true && change(6, users: [3], role: 4)?.contains("role must be") == true)
        #expect(change(2, users: [3], role: 1)?.contains("only SET_ROLE") == true)
        #expect(change(2, users: [3, 3])?.contains("twice") == true && change(2, users: [0])?.contains("positive") == true)
        #expect(change(2, users: Array(1...1001))?.contains("at most 1000") == true)
        #expect(change(5, body: [UInt8](repeating: 0, count: 1001))?.hasPrefix("too_large") == true)
    }

    @Test func deletions() {
        func delete(_ seqs: [UInt64]) -> String? { refusal([.number(1, 9), .number(2, 1), .bytes(3, seqs.flatMap(WireField.varint))], kind: 7) }
        #expect(delete([])?.contains("1 to 256") == true && delete(Array(1...257))?.contains("1 to 256") == true)
        #expect(delete([4, 4])?.contains("twice") == true && delete([0])?.contains("positive") == true)
        let unordered = Self.both(WireField.message(7, [.number(1, 9), .number(2, 1), .bytes(3, [5, 3])]).encoded)
        #expect(unordered.plain.map(text) == "0 delete 9 1 [3, 5] false")
    }
}
