import NIOCore
import RelayHTTP
import RelayMessageSending
import RelayModel
import RelayStorage

/// Writes the frames that make up nearly all traffic as `relay.v1.proto` has them, straight into a connection's out buffer and with the
/// WebSocket's header before them: no message objects, and a body is copied once. Lengths are measured before anything is written. The bytes
/// are those that SwiftProtobuf would write. Pure.
enum PlainFrames {
    static func sent(_ request: UInt64, _ outcome: SentOutcome, into out: inout ByteBuffer) {
        let time = UInt64(bitPattern: outcome.message.time.milliseconds)
        let size =
            FieldSize.number(1, outcome.chat.rawValue) + FieldSize.number(2, outcome.clientMessageID)
            + FieldSize.number(3, outcome.message.rawValue) + FieldSize.number(4, outcome.chatSeq) + FieldSize.number(5, time)
        frame(request, kind: 2, size: size, into: &out) { fields in
            fields.number(1, outcome.chat.rawValue)
            fields.number(2, outcome.clientMessageID)
            fields.number(3, outcome.message.rawValue)
            fields.number(4, outcome.chatSeq)
            fields.number(5, time)
        }
    }

    /// Each envelope with the key that is wrapped for `device`, when there is one.
    static func deliver(_ envelopes: some RandomAccessCollection<StoredEnvelope>, to device: DeviceID, into out: inout ByteBuffer) {
        // Nearly every live frame has one envelope, which needs no list.
        if envelopes.count == 1, let envelope = envelopes.first {
            let measured = MeasuredEnvelope(envelope, for: device)
            frame(0, kind: 4, size: FieldSize.message(1, measured.size), into: &out) { measured.write(envelope, &$0) }
            return
        }
        let measured = envelopes.map { MeasuredEnvelope($0, for: device) }
        let size = measured.reduce(0) { $0 + FieldSize.message(1, $1.size) }
        frame(0, kind: 4, size: size, into: &out) { fields in
            for (envelope, measured) in zip(envelopes, measured) { measured.write(envelope, &fields) }
        }
    }

    static func receipts(_ request: UInt64, _ rows: [ReceiptRow], into out: inout ByteBuffer) {
        func size(_ row: ReceiptRow) -> Int {
            FieldSize.number(1, row.chat.rawValue) + FieldSize.number(2, row.user.rawValue) + FieldSize.number(3, row.deliveredSeq)
                + FieldSize.number(4, row.readSeq) + FieldSize.number(5, row.version)
        }
        frame(request, kind: 5, size: rows.reduce(0) { $0 + FieldSize.message(1, size($1)) }, into: &out) { fields in
            for row in rows {
                fields.head(1, size(row))
                fields.number(1, row.chat.rawValue)
                fields.number(2, row.user.rawValue)
                fields.number(3, row.deliveredSeq)
                fields.number(4, row.readSeq)
                fields.number(5, row.version)
            }
        }
    }

    static func caughtUp(_ mailboxSeq: UInt64, into out: inout ByteBuffer) {
        frame(0, kind: 6, size: FieldSize.number(1, mailboxSeq), into: &out) { $0.number(1, mailboxSeq) }
    }

    static func pong(_ request: UInt64, into out: inout ByteBuffer) { frame(request, kind: 7, size: 0, into: &out) { _ in } }

    static func announcement(_ chat: ChatID, _ chatSeq: UInt64, into out: inout ByteBuffer) {
        frame(0, kind: 8, size: FieldSize.number(1, chat.rawValue) + FieldSize.number(2, chatSeq), into: &out) { fields in
            fields.number(1, chat.rawValue)
            fields.number(2, chatSeq)
        }
    }

    /// One final WebSocket frame with a `ServerFrame`.
    /// - Parameters:
    ///   - kind: the field of the oneof.
    ///   - size: bytes that `write` writes.
    @inline(__always)
    private static func frame(
        _ request: UInt64, kind: UInt8, size: Int, into out: inout ByteBuffer, _ write: (inout FieldWriter) -> Void
    ) {
        let payload = FieldSize.number(1, request) + FieldSize.message(kind, size)
        let room = WebSocketFrames.headerBytes + payload
        if out.storageCapacity == 0 {
            // Of this size, or some small frames; growing rounds up to a power of two, which for a large body is a page of its own.
            out = ByteBufferAllocator().buffer(capacity: max(room, 512))
        } else {
            out.reserveCapacity(minimumWritableBytes: room)
        }
        WebSocketFrames.writeHeader(.binary, payloadBytes: payload, mask: nil, into: &out)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: payload) { room in
            var fields = FieldWriter(UnsafeMutableRawBufferPointer(rebasing: room[..<payload]))
            fields.number(1, request)
            fields.head(kind, size)
            write(&fields)
            precondition(fields.count == payload)
            return payload
        }
    }
}

/// The lengths of one envelope's parts.
private struct MeasuredEnvelope {
    private let key: ByteBuffer?
    private let keyVersion: UInt32
    private let time: UInt64
    /// Of what ``EnvelopeExtra`` has: its message, and the numbers packed in that.
    private var extraSize = 0
    private var packedSize = 0
    /// Of the whole message.
    private(set) var size: Int

    init(_ envelope: StoredEnvelope, for device: DeviceID) {
        key = envelope.keys.key(for: device)
        keyVersion = envelope.keys.version(for: device)
        time = UInt64(bitPattern: envelope.message.time.milliseconds)
        size = FieldSize.number(1, envelope.mailboxSeq) + FieldSize.number(2, envelope.chat.rawValue)
        size += FieldSize.number(3, envelope.chatSeq) + FieldSize.number(4, envelope.message.rawValue) + FieldSize.number(5, time)
        size += FieldSize.number(6, envelope.senderUser.rawValue) + FieldSize.number(7, envelope.senderDevice.rawValue)
        size += FieldSize.number(8, envelope.clientMessageID) + FieldSize.bytes(9, envelope.body.readableBytes)
        size += FieldSize.bytes(10, key?.readableBytes ?? 0)
        switch envelope.extra {
        case nil: break
        case .group(let event):
            packedSize = FieldSize.packed(event.users.lazy.map(\.rawValue))
            extraSize = FieldSize.number(1, UInt64(event.action.rawValue)) + FieldSize.bytes(2, packedSize)
            extraSize += FieldSize.number(3, UInt64(event.role?.rawValue ?? 0))
            size += FieldSize.message(11, extraSize)
        case .deletion(let deletion):
            packedSize = FieldSize.packed(deletion.seqs)
            extraSize = FieldSize.number(1, deletion.chat.rawValue) + FieldSize.bytes(2, packedSize)
            size += FieldSize.message(12, extraSize)
        case .deleted: size += FieldSize.number(13, 1)
        case .gone: size += FieldSize.number(14, 1)
        }
        size += FieldSize.number(15, UInt64(keyVersion))
    }

    func write(_ envelope: StoredEnvelope, _ fields: inout FieldWriter) {
        fields.head(1, size)
        fields.number(1, envelope.mailboxSeq)
        fields.number(2, envelope.chat.rawValue)
        fields.number(3, envelope.chatSeq)
        fields.number(4, envelope.message.rawValue)
        fields.number(5, time)
        fields.number(6, envelope.senderUser.rawValue)
        fields.number(7, envelope.senderDevice.rawValue)
        fields.number(8, envelope.clientMessageID)
        envelope.body.withUnsafeReadableBytes { fields.bytes(9, $0) }
        key?.withUnsafeReadableBytes { fields.bytes(10, $0) }
        switch envelope.extra {
        case nil: break
        case .group(let event):
            fields.head(11, extraSize)
            fields.number(1, UInt64(event.action.rawValue))
            fields.packed(2, event.users.lazy.map(\.rawValue), size: packedSize)
            fields.number(3, UInt64(event.role?.rawValue ?? 0))
        case .deletion(let deletion):
            fields.head(12, extraSize)
            fields.number(1, deletion.chat.rawValue)
            fields.packed(2, deletion.seqs, size: packedSize)
        case .deleted: fields.number(13, 1)
        case .gone: fields.number(14, 1)
        }
        fields.number(15, UInt64(keyVersion))
    }
}
