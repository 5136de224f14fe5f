import Foundation
import NIOCore
import RelayHTTP
import RelayMessageSending
import RelayModel
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayGateway
@testable import RelayStorage

/// Frames that are written without message objects are, byte for byte, those that SwiftProtobuf writes.
@Suite struct PlainFramesTests {
    private var random: SeededGenerator
    private let seed: UInt64

    init() {
        seed = UInt64.random(in: .min ... .max)
        random = SeededGenerator(seed: seed)
        print("plain frames: seed \(seed)")
    }

    private mutating func number() -> UInt64 {
        // Every length of a varint, and 0.
        UInt64.random(in: .min ... .max, using: &random) >> UInt64.random(in: 0...64, using: &random)
    }

    private mutating func bytes(_ count: Int) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) })
    }

    private mutating func envelope(for device: DeviceID) -> StoredEnvelope {
        var keys = PackedKeys()
        for _ in 0..<Int.random(in: 0...2, using: &random) { keys.append(DeviceID(number()), key: bytes(48).readableBytesView) }
        if Bool.random(using: &random) {
            let key = bytes([0, 1, 48, 256].randomElement(using: &random) ?? 0)
            keys.append(device, key: key.readableBytesView, version: UInt32(truncatingIfNeeded: number()))
        }
        let extra: EnvelopeExtra? =
            switch Int.random(in: 0..<8, using: &random) {
            case 0:
                .group(
                    GroupEvent(
                        action: GroupAction.allCases.randomElement(using: &random) ?? .add,
                        users: (0..<Int.random(in: 0...50, using: &random)).map { _ in UserID(number()) },
                        role: Bool.random(using: &random) ? GroupRole.allCases.randomElement(using: &random) : nil))
            case 1: .deletion(Deletion(chat: ChatID(number()), seqs: (0..<Int.random(in: 0...256, using: &random)).map { _ in number() }))
            case 2: .deleted
            case 3: .gone
            default: nil
            }
        var body = bytes([0, 1, 90, 127, 128, 200, 4000, 17_000].randomElement(using: &random) ?? 0)
        // A body is a slice of something, as a rule.
        body.moveReaderIndex(to: body.readableBytes / 3)
        return StoredEnvelope(
            mailboxSeq: number(), chat: ChatID(number()), chatSeq: number(), message: MessageID(number()), senderUser: UserID(number()),
            senderDevice: DeviceID(number()), clientMessageID: number(), body: body, keys: keys, extra: extra)
    }

    private mutating func receipt() -> ReceiptRow {
        ReceiptRow(chat: ChatID(number()), user: UserID(number()), deliveredSeq: number(), readSeq: number(), version: number())
    }

    private func expect(_ out: ByteBuffer, are frames: [Relay_V1_ServerFrame], _ round: Int) throws {
        var parser = WebSocketParser(role: .client, maxMessageBytes: 64 << 20)
        parser.append(out)
        for frame in frames {
            guard case .message(.binary(let bytes))? = parser.next() else {
                Issue.record("seed \(seed) round \(round): no frame")
                return
            }
            let expected: [UInt8] = try frame.serializedBytes()
            #expect(Array(bytes.readableBytesView) == expected, "seed \(seed) round \(round)")
            #expect(try Relay_V1_ServerFrame(serializedBytes: Array(bytes.readableBytesView)) == frame, "seed \(seed) round \(round)")
        }
        #expect(parser.next() == nil && parser.bufferedBytes == 0)
    }

    @Test mutating func sameBytes() throws {
        let device = DeviceID(77)
        for round in 0..<400 {
            // Several frames in one buffer, as in one tick of a connection.
            var out = ByteBuffer()
            var expected: [Relay_V1_ServerFrame] = []
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                switch Int.random(in: 0..<7, using: &random) {
                case 0:
                    let request = number()
                    let outcome = SentOutcome(
                        chat: ChatID(number()), clientMessageID: number(), message: MessageID(number()), chatSeq: number())
                    PlainFrames.sent(request, outcome, into: &out)
                    expected.append(ServerFrames.answer(request, .sent(outcome)))
                case 1:
                    let request = number()
                    PlainFrames.receipts(request, [], into: &out)
                    expected.append(ServerFrames.answer(request, .done))
                case 2:
                    let rows = (0..<Int.random(in: 0...40, using: &random)).map { _ in receipt() }
                    PlainFrames.receipts(0, rows, into: &out)
                    expected.append(ServerFrames.receipts(rows))
                case 3:
                    let seq = number()
                    PlainFrames.caughtUp(seq, into: &out)
                    expected.append(ServerFrames.caughtUp(seq))
                case 4:
                    let request = number()
                    PlainFrames.pong(request, into: &out)
                    expected.append(ServerFrames.pong(request))
                case 5:
                    let (chat, seq) = (ChatID(number()), number())
                    PlainFrames.announcement(chat, seq, into: &out)
                    expected.append(ServerFrames.announcement(chat, seq))
                default:
                    let count = Bool.random(using: &random) ? 1 : Int.random(in: 0...12, using: &random)
                    let envelopes = (0..<count).map { _ in envelope(for: device) }
                    PlainFrames.deliver(envelopes, to: device, into: &out)
                    expected.append(ServerFrames.deliver(envelopes, to: device))
                }
            }
            try expect(out, are: expected, round)
        }
    }

    /// Lengths that need one byte more, in the fields and in the WebSocket's header.
    @Test(arguments: [0, 1, 60, 61, 62, 63, 64, 125, 126, 127, 128, 16_300, 16_383, 16_384, 65_400, 65_535, 65_536, 2_097_152])
    func bodies(count: Int) throws {
        for length in (count - 70)...count where length >= 0 && (count < 100_000 || length == count) {
            var out = ByteBuffer()
            let envelope = StoredEnvelope(
                mailboxSeq: 1, chat: ChatID(1), chatSeq: 1, message: MessageID(1 << 40), senderUser: UserID(1), senderDevice: DeviceID(1),
                clientMessageID: 1, body: ByteBuffer(repeating: 3, count: length), keys: PackedKeys())
            PlainFrames.deliver([envelope], to: DeviceID(1), into: &out)
            try expect(out, are: [ServerFrames.deliver([envelope], to: DeviceID(1))], length)
        }
    }
}
