import NIOCore
import RelayModel
import RelayStorage
import RelayWire

extension ClientRequest {
    /// Reads a `relay.v1.ClientFrame` without SwiftProtobuf: no message objects, and the body stays where it is, as a slice of `frame`.
    ///
    /// Nil for everything that is not plain and right: malformed bytes, values that the checks refuse, unknown kinds, fields of another wire
    /// type, groups, two kinds in one frame. SwiftProtobuf reads those, so that there is one place that decides what a wrong frame gets. What
    /// this gives is what that would give.
    init?(plain frame: ByteBuffer, maxBodyBytes: Int) {
        let request = frame.withUnsafeReadableBytes { bytes in
            try? PlainRequests(bytes: bytes, frame: frame, maxBodyBytes: maxBodyBytes).request()
        }
        guard let request else { return nil }
        self = request
    }
}

/// Reads the kinds of requests; throws for what it does not take, whatever the reason. Ranges count from the frame's reader index.
private struct PlainRequests {
    let bytes: UnsafeRawBufferPointer
    let frame: ByteBuffer
    let maxBodyBytes: Int

    func request() throws -> ClientRequest {
        var request: UInt64 = 0
        var kind: (field: UInt64, range: Range<Int>)?
        var fields = FieldReader(bytes, 0..<bytes.count)
        while let (field, value) = try fields.next() {
            switch (field, value) {
            case (1, .number(let number)): request = number
            case (2...7, .bytes(let range)) where kind == nil: kind = (field, range)
            case (1...9, _): throw NotPlain()
            default: break
            }
        }
        guard let (field, range) = kind else { throw NotPlain() }
        switch field {
        case 2: return .send(request: request, try send(range))
        case 3: return .acknowledge(mailboxSeq: try Checked.sequence(try numbers(range).first, "mailbox_seq"))
        case 4:
            let (chat, seq) = try numbers(range)
            return .read(request: request, try Checked.id(chat, "chat_id"), chatSeq: try Checked.sequence(seq, "chat_seq"))
        case 5:
            // It has no fields, but they must be well-formed.
            var fields = FieldReader(bytes, range)
            while try fields.next() != nil {}
            return .ping(request: request)
        case 6: return .changeGroup(request: request, try groupChange(range))
        default: return .delete(request: request, try delete(range))
        }
    }

    // MARK: Kinds

    /// Fields 1 and 2 of a message that has numbers there: `Ack` (which has only one), `Read`.
    private func numbers(_ message: Range<Int>) throws -> (first: UInt64, second: UInt64) {
        var numbers: (first: UInt64, second: UInt64) = (0, 0)
        var fields = FieldReader(bytes, message)
        while let (field, value) = try fields.next() {
            switch (field, value) {
            case (1, .number(let number)): numbers.first = number
            case (2, .number(let number)): numbers.second = number
            case (1...2, _): throw NotPlain()
            default: break
            }
        }
        return numbers
    }

    private func send(_ message: Range<Int>) throws -> CheckedSend {
        var chat: UInt64 = 0
        var clientMessageID: UInt64 = 0
        var body = 0..<0
        var keys = Keys()
        var fields = FieldReader(bytes, message)
        while let (field, value) = try fields.next() {
            switch (field, value) {
            case (1, .number(let number)): chat = number
            case (2, .number(let number)): clientMessageID = number
            case (3, .bytes(let range)): body = range
            case (4, .bytes(let range)): keys.note(range)
            case (1...4, _): throw NotPlain()
            default: break
            }
        }
        var send = try CheckedSend(chat: chat, clientMessageID: clientMessageID, bodyBytes: body.count, maxBodyBytes: maxBodyBytes)
        send.keys = try pack(keys, field: 4, of: message)
        send.body = try slice(body)
        return send
    }

    private func groupChange(_ message: Range<Int>) throws -> CheckedGroupChange {
        var chat: UInt64 = 0
        var clientMessageID: UInt64 = 0
        var action: UInt64 = 0
        var users: [UInt64] = []
        var role: UInt64 = 0
        var body = 0..<0
        var keys = Keys()
        var fields = FieldReader(bytes, message)
        while let (field, value) = try fields.next() {
            switch (field, value) {
            case (1, .number(let number)): chat = number
            case (2, .number(let number)): clientMessageID = number
            case (3, .number(let number)): action = number
            case (4, _): try append(value, to: &users, atMost: Limits.chatMembers)
            case (5, .number(let number)): role = number
            case (6, .bytes(let range)): body = range
            case (7, .bytes(let range)): keys.note(range)
            case (1...7, _): throw NotPlain()
            default: break
            }
        }
        // An enum has the low 32 bits of its number: anything else is for others to read.
        guard let action = UInt8(exactly: action), let role = UInt8(exactly: role) else { throw NotPlain() }
        var change = try CheckedGroupChange(
            chat: chat, clientMessageID: clientMessageID, action: Int(action), users: users, role: Int(role), bodyBytes: body.count,
            members: keys.members, maxBodyBytes: maxBodyBytes)
        change.keys = try pack(keys, field: 7, of: message)
        change.body = try slice(body)
        return change
    }

    private func delete(_ message: Range<Int>) throws -> CheckedDelete {
        var chat: UInt64 = 0
        var clientMessageID: UInt64 = 0
        var seqs: [UInt64] = []
        var forEveryone = false
        var fields = FieldReader(bytes, message)
        while let (field, value) = try fields.next() {
            switch (field, value) {
            case (1, .number(let number)): chat = number
            case (2, .number(let number)): clientMessageID = number
            case (3, _): try append(value, to: &seqs, atMost: Limits.deletionsAtOnce)
            case (4, .number(let number)): forEveryone = number != 0
            case (1...4, _): throw NotPlain()
            default: break
            }
        }
        return try CheckedDelete(chat: chat, clientMessageID: clientMessageID, seqs: seqs, forEveryone: forEveryone)
    }

    // MARK: Parts

    /// A repeated number, packed or not.
    private func append(_ value: FieldReader.Value, to numbers: inout [UInt64], atMost limit: Int) throws {
        switch value {
        case .number(let number): numbers.append(number)
        case .bytes(let range):
            var packed = FieldReader(bytes, range)
            while let number = try packed.nextPacked() {
                guard numbers.count < limit else { throw NotPlain() }
                numbers.append(number)
            }
        case .fixed: throw NotPlain()
        }
        guard numbers.count <= limit else { throw NotPlain() }
    }

    private func slice(_ range: Range<Int>) throws -> ByteBuffer {
        guard let slice = frame.getSlice(at: frame.readerIndex + range.lowerBound, length: range.count) else { throw NotPlain() }
        return slice
    }

    /// How much there is of the field with the keys; they are read once the rest is known to be right.
    private struct Keys {
        var members = 0
        var bytes = 0

        mutating func note(_ range: Range<Int>) {
            members += 1
            bytes += range.count
        }
    }

    private func pack(_ keys: Keys, field wanted: UInt64, of message: Range<Int>) throws -> [MemberKeys] {
        // Packed, a device takes ten bytes and its key; on the wire seldom less.
        var packer = try KeyPacker(members: keys.members, bytes: keys.bytes)
        var fields = FieldReader(bytes, message)
        while let (field, value) = try fields.next() {
            guard field == wanted, case .bytes(let range) = value else { continue }
            try pack(member: range, into: &packer)
        }
        return packer.finish()
    }

    private func pack(member: Range<Int>, into packer: inout KeyPacker) throws {
        // An encoder writes the user first; who does not is read elsewhere.
        var user = false
        var fields = FieldReader(bytes, member)
        while let (field, value) = try fields.next() {
            switch (field, value) {
            case (1, .number(let number)) where !user:
                try packer.member(number)
                user = true
            case (2, .bytes(let range)) where user: try pack(device: range, into: &packer)
            case (1...2, _): throw NotPlain()
            default: break
            }
        }
        guard user else { throw NotPlain() }
    }

    private func pack(device message: Range<Int>, into packer: inout KeyPacker) throws {
        var device: UInt64 = 0
        var key = 0..<0
        var version: UInt32 = 0
        var fields = FieldReader(bytes, message)
        while let (field, value) = try fields.next() {
            switch (field, value) {
            case (1, .number(let number)): device = number
            case (2, .bytes(let range)): key = range
            case (3, .number(let number)):
                // Of a longer number the low bits count: for others to read.
                guard let short = UInt32(exactly: number) else { throw NotPlain() }
                version = short
            case (1...3, _): throw NotPlain()
            default: break
            }
        }
        try packer.add(device: device, key: UnsafeRawBufferPointer(rebasing: bytes[key]), version: version)
    }
}
