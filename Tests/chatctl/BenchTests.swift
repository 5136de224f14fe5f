import Foundation
import Histogram
import NIOCore
import RelayModel
import RelayWire
import SwiftProtobuf
import Testing

@testable import ChatctlCommands

/// The frames that the bench writes and reads by hand are those of the schema.
@Suite struct BenchFramesTests {
    private static let accounts = [
        BenchAccount(user: UserID(1), device: DeviceID(127), token: ""),
        BenchAccount(user: UserID(382_364_223_419_711_488), device: DeviceID(300), token: ""),
        BenchAccount(user: UserID(382_364_223_419_711_488), device: DeviceID(1 << 62), token: ""),
    ]

    @Test(arguments: [UInt64(1), 127, 128, 16_383, 16_384, UInt64(Int64.max)], [16, 127, 128, 65_536])
    func aSendIsWhatTheLibraryReads(number: UInt64, bodyBytes: Int) throws {
        let body = ByteBuffer(bytes: (0..<bodyBytes).map { UInt8(truncatingIfNeeded: $0) })
        let keys = BenchFrames.keys(Self.accounts, [UInt8](repeating: 7, count: 48))
        var bytes = ByteBuffer()
        BenchFrames.send(chat: 382_364_223_419_711_499, number: number, body: body, keys: keys, into: &bytes)
        let frame = try Relay_V1_ClientFrame(serializedBytes: Array(bytes.readableBytesView))
        #expect(frame.requestID == number && frame.send.clientMessageID == number)
        #expect(frame.send.chatID == 382_364_223_419_711_499 && Array(frame.send.body) == Array(body.readableBytesView))
        #expect(frame.send.keys.map(\.userID) == [1, 382_364_223_419_711_488])
        #expect(frame.send.keys.map { $0.devices.map(\.deviceID) } == [[127], [300, 1 << 62]])
        #expect(frame.send.keys.allSatisfy { $0.devices.allSatisfy { $0.key == Data(repeating: 7, count: 48) } })
    }

    @Test(arguments: [UInt64(1), 300, UInt64(Int64.max)])
    func anAcknowledgementIsWhatTheLibraryReads(position: UInt64) throws {
        var bytes = ByteBuffer()
        BenchFrames.acknowledgement(position, into: &bytes)
        #expect(try Relay_V1_ClientFrame(serializedBytes: Array(bytes.readableBytesView)).ack.mailboxSeq == position)
    }

    private func read(_ frame: Relay_V1_ServerFrame) throws -> (BenchFrames.Reply?, [BenchFrames.Envelope]) {
        var envelopes: [BenchFrames.Envelope] = []
        let bytes: [UInt8] = try frame.serializedBytes()
        let reply = BenchFrames.read(ByteBuffer(bytes: bytes)) { envelopes.append($0) }
        return (reply, envelopes)
    }

    @Test func whatTheLibraryWritesIsRead() throws {
        var sent = Relay_V1_ServerFrame()
        sent.requestID = 9
        sent.sent = .with {
            $0.chatID = 5
            $0.clientMessageID = 300
            $0.messageID = 1 << 60
            $0.chatSeq = 70_000
            $0.sentAtMs = 1_795_253_400_250
        }
        #expect(try read(sent).0 == .sent(number: 300, chat: 5, chatSeq: 70_000, messageID: 1 << 60))
        var refused = Relay_V1_ServerFrame()
        refused.requestID = 77
        refused.error.code = "overloaded"
        refused.error.message = "no"
        #expect(try read(refused).0 == .error(request: 77, code: "overloaded", message: "no"))
        var caughtUp = Relay_V1_ServerFrame()
        caughtUp.caughtUp = Relay_V1_CaughtUp()
        #expect(try read(caughtUp).0 == .caughtUp)
        var receipts = Relay_V1_ServerFrame()
        receipts.receipts.receipts = [Relay_V1_Receipt()]
        #expect(try read(receipts).0 == .other)
    }

    @Test func envelopesAreRead() throws {
        var frame = Relay_V1_ServerFrame()
        frame.deliver.envelopes = [
            .with {
                $0.mailboxSeq = 4
                $0.chatID = 5
                $0.chatSeq = 6
                $0.messageID = 7
                $0.senderUserID = 8
                $0.senderDeviceID = 9
                $0.clientMessageID = 10
                $0.body = Data([0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 10, 255])
                $0.key = Data([1])
            },
            .with { $0.event = .with { $0.action = .add } }, .with { $0.deleted = true }, .with { $0.gone = true },
            .with { $0.deletion = Relay_V1_Deletion() },
        ]
        let (reply, envelopes) = try read(frame)
        #expect(reply == .delivered)
        var expected = BenchFrames.Envelope()
        (expected.mailboxSeq, expected.chat, expected.chatSeq, expected.messageID) = (4, 5, 6, 7)
        (expected.senderDevice, expected.clientMessageID, expected.bodyBytes, expected.due, expected.stampedNumber) = (9, 10, 17, 256, 10)
        #expect(envelopes.first == expected)
        #expect(envelopes.dropFirst().map(\.special) == [true, true, true, true])
    }

    /// Every shorter frame is either refused or read as fewer fields; none is read beyond its end.
    @Test func aCutFrameIsNoFrame() throws {
        var frame = Relay_V1_ServerFrame()
        frame.deliver.envelopes = [.with { $0.body = Data(repeating: 1, count: 200) }]
        let bytes: [UInt8] = try frame.serializedBytes()
        for count in 1..<bytes.count { #expect(BenchFrames.read(ByteBuffer(bytes: bytes[..<count])) { _ in } == nil, "\(count) bytes") }
        #expect(BenchFrames.read(ByteBuffer(bytes: [UInt8](repeating: 0xFF, count: 12))) { _ in } == nil)
    }
}

/// What the bench says about a relay that breaks its promises.
@Suite struct BenchVerdictTests {
    private static let size = 16

    private static func envelope(
        _ seq: UInt64, sender: UInt64, number: UInt64, message: UInt64? = nil, mailbox: UInt64? = nil
    ) -> BenchFrames.Envelope {
        var envelope = BenchFrames.Envelope()
        envelope.mailboxSeq = mailbox ?? seq
        envelope.chatSeq = seq
        envelope.messageID = message ?? 1000 + seq
        envelope.senderDevice = sender
        envelope.clientMessageID = number
        envelope.stampedNumber = number
        envelope.bodyBytes = size
        return envelope
    }

    /// One sender who got `sent` for the numbers 1 to `accepted`, and receivers who were shown these envelopes.
    private static func judge(accepted: UInt64, _ shown: [[BenchFrames.Envelope]]) -> BenchVerdict {
        var sender = BenchHistory(chat: 0, device: 1, senders: [1])
        for number in 1...accepted { _ = sender.accept(number: number, chatSeq: number, messageID: 1000 + number) }
        let receivers = shown.enumerated().map { index, envelopes in
            var receiver = BenchHistory(chat: 0, device: UInt64(2 + index), senders: [1])
            for envelope in envelopes { _ = receiver.deliver(envelope, bodyBytes: size) }
            return receiver
        }
        return BenchVerdict.judge([sender] + receivers)
    }

    private static func plain(_ numbers: [UInt64]) -> [BenchFrames.Envelope] { numbers.map { envelope($0, sender: 1, number: $0) } }

    @Test func kept() {
        let verdict = Self.judge(accepted: 3, [Self.plain([1, 2, 3]), Self.plain([1, 2, 3])])
        #expect(verdict == BenchVerdict(accepted: 3, delivered: 6))
        #expect(verdict.holds)
    }

    @Test func aMessageThatNeverCameIsLost() {
        let verdict = Self.judge(accepted: 3, [Self.plain([1, 2, 3]), Self.plain([1, 2])])
        #expect(verdict.lost == 1 && verdict.doubled == 0 && verdict.disordered == 0)
        #expect(!verdict.holds)
    }

    @Test func aHoleIsLostAndAGap() {
        let verdict = Self.judge(accepted: 3, [Self.plain([1, 3])])
        #expect(verdict.lost == 1 && verdict.disordered == 1)
    }

    @Test func whatIsDeliveredWithoutAnAnswerIsNotDoubled() {
        #expect(Self.judge(accepted: 2, [Self.plain([1, 2, 3])]) == BenchVerdict(accepted: 2, delivered: 3))
    }

    @Test func aCopyThatComesAgainIsDoubled() {
        var again = Self.plain([1, 2])
        again.append(Self.envelope(3, sender: 1, number: 2))
        #expect(Self.judge(accepted: 2, [again]).doubled == 1)
        #expect(Self.judge(accepted: 2, [Self.plain([1, 2, 2])]).doubled == 1)
    }

    @Test func theOrderOfAChatIsChecked() { #expect(Self.judge(accepted: 3, [Self.plain([1, 3, 2])]).disordered > 0) }

    @Test func theOrderOfTheMailboxIsChecked() {
        let envelopes = [
            Self.envelope(1, sender: 1, number: 1, mailbox: 5), Self.envelope(2, sender: 1, number: 2, mailbox: 4),
        ]
        let verdict = Self.judge(accepted: 2, [envelopes])
        #expect(verdict.disordered == 1 && verdict.lost == 0)
    }

    @Test func anotherOrderThanTheOthersSawIsNoticed() {
        // Both members see rising sequences without gaps, of the same messages.
        let swapped = [Self.envelope(1, sender: 1, number: 2, message: 1002), Self.envelope(2, sender: 1, number: 1, message: 1001)]
        #expect(Self.judge(accepted: 2, [Self.plain([1, 2]), swapped]).disordered == 1)
    }

    @Test func anotherBodyIsCorrupted() {
        var envelope = Self.envelope(1, sender: 1, number: 1)
        envelope.stampedNumber = 2
        let verdict = Self.judge(accepted: 1, [[envelope]])
        #expect(verdict.corrupted == 1 && verdict.lost == 1)
    }

    /// Two who both send pass over their own; together their numbers fill the chat's sequence.
    @Test func bothMaySend() {
        func run(second: UInt64) -> BenchVerdict {
            var left = BenchHistory(chat: 0, device: 1, senders: [1, 2])
            var right = BenchHistory(chat: 0, device: 2, senders: [1, 2])
            _ = left.accept(number: 1, chatSeq: 1, messageID: 1001)
            _ = right.deliver(Self.envelope(1, sender: 1, number: 1), bodyBytes: Self.size)
            _ = right.accept(number: 1, chatSeq: second, messageID: 1000 + second)
            _ = left.deliver(Self.envelope(second, sender: 2, number: 1), bodyBytes: Self.size)
            return BenchVerdict.judge([left, right])
        }
        #expect(run(second: 2).holds)
        #expect(run(second: 3).disordered > 0)
    }

    @Test func aChangeOfTheGroupHasAPlace() {
        var owner = BenchHistory(chat: 0, device: 1, senders: [1])
        owner.changed(chatSeq: 1)
        _ = owner.accept(number: 2, chatSeq: 2, messageID: 1002)
        var member = BenchHistory(chat: 0, device: 2, senders: [1])
        var made = BenchFrames.Envelope()
        (made.mailboxSeq, made.chatSeq, made.special) = (1, 1, true)
        _ = member.deliver(made, bodyBytes: Self.size)
        _ = member.deliver(Self.envelope(2, sender: 1, number: 2), bodyBytes: Self.size)
        #expect(BenchVerdict.judge([owner, member]) == BenchVerdict(accepted: 1, delivered: 1))
    }

    @Test func numbersAreKeptOnce() {
        var set = NumberSet()
        var other = NumberSet()
        let inserted = [UInt64(1), 63, 64, 1000, 64].map { set.insert($0) }
        #expect(inserted == [true, true, true, true, false] && set.count == 4)
        _ = other.insert(63)
        #expect(set.missing(from: other) == 3 && other.missing(from: set) == 0)
    }
}

@Suite struct BenchWatchTests {
    @Test func recoveryNeedsAWholeGoodSecond() {
        func watch(slow: Set<UInt64>) -> RecoveryWatch {
            var watch = RecoveryWatch(start: 1000, normal: 10)
            for look in UInt64(0)..<12 {
                for message in UInt64(0)..<10 {
                    watch.record(due: 1000 + look * RecoveryWatch.span + message, microseconds: slow.contains(look) ? 11 : 10)
                }
            }
            return watch
        }
        #expect(RecoveryWatch.seconds([watch(slow: [])]) == 0)
        #expect(RecoveryWatch.seconds([watch(slow: [0, 1, 4])]) == 1.25)
        #expect(RecoveryWatch.seconds([watch(slow: []), watch(slow: [2])]) == 0.75)
        #expect(RecoveryWatch.seconds([watch(slow: [2, 5, 8, 11])]) == nil)
        // Without messages nothing is known to be normal.
        #expect(RecoveryWatch.seconds([RecoveryWatch(start: 0, normal: 10)]) == nil)
    }

    @Test func copiesAreTimedOverAllLoops() {
        func copy(_ number: UInt64, due: UInt64) -> BenchFrames.Envelope {
            var envelope = BenchFrames.Envelope()
            (envelope.senderDevice, envelope.clientMessageID, envelope.due) = (1, number, due)
            return envelope
        }
        var near = CopyWatch(loops: [1: 2], here: [1: 2]) { _, _ in }
        var far = CopyWatch(loops: [1: 2], here: [1: 1]) { _, _ in }
        var complete = [near.arrived(copy(1, due: 1_000_000), at: 2_000_000), near.arrived(copy(1, due: 1_000_000), at: 3_000_000)]
        complete.append(far.arrived(copy(1, due: 1_000_000), at: 6_000_000))
        // The second message has not reached everybody.
        complete.append(near.arrived(copy(2, due: 1_000_000), at: 9_000_000))
        #expect(complete == [nil, 1, 1, nil])
        let spread = CopyWatch.spread([near, far])
        #expect(spread.span.totalCount == 1 && spread.span.valuesAreEquivalent(spread.span.max, 4000))
        #expect(spread.last.totalCount == 1 && spread.last.valuesAreEquivalent(spread.last.max, 5000))
    }
}
