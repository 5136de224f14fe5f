import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import RelayWire
import SwiftProtobuf
import Synchronization
import Testing

/// Senders that push far beyond what the relay takes, and a device that does not read meanwhile.
@Suite("Surge") struct SurgeTests {
    static let senders = 6
    static let messages = 1200
    static let bodyBytes = 12 * 1024
    /// What relayd may take more than before: for each sender the sends that may wait for the disk, twice over (as bytes of the socket and as
    /// commands), the writer's page cache, and 16 MB for what the heap keeps. What the sleeping device misses alone is 88 MB.
    static let growthBytes = 2 * senders * 256 * (bodyBytes + 1024) + Limits.writerCacheBytes + 16 * 1024 * 1024

    @Test(.timeLimit(.minutes(10))) func memoryIsBoundedAndEverySendIsAnswered() async throws {
        let relay = try RelayProcess(logLevel: "warning")
        try await relay.start()
        var codes = [try await relay.chatctl.addUser("slow").invite.code]
        for number in 0..<Self.senders { codes.append(try await relay.chatctl.addUser("sender\(number)").invite.code) }
        let (port, enrolment) = (relay.port, codes)
        let devices = try await blocking { try enrolment.map { try WireDevice(port: port, code: $0) } }
        let slow = devices[0]
        let asleep = try await blocking {
            let connection = try slow.connectBinary()
            try connection.drain { _ in }
            return connection
        }
        let before = try relay.residentBytes()
        let highest = Highest()
        let checker = HistoryChecker()
        let outstanding = try await withThrowingTaskGroup(of: Int.self) { group in
            for sender in devices.dropFirst() {
                group.addTask { try await blocking { try Self.push(sender, to: slow, checker, relay, highest) } }
            }
            return try await group.reduce(0, max)
        }
        let grown = highest.value - before
        print("surge: \(outstanding) sends of one device were on their way at once, relayd grew by \(grown / 1024) KiB")
        // It was a surge: more was on its way than the relay takes from one connection.
        #expect(outstanding > 256)
        #expect(grown < Self.growthBytes)
        #expect(checker.answeredCount == Self.senders * Self.messages)

        // A lone message among others goes through at once, and the one who slept gets it all, in order, once.
        let others = (devices[1], devices[2])
        try await blocking {
            let reader = try others.1.connectBinary()
            try reader.drain { _ in }
            try Self.sendOne(from: others.0, to: others.1, reader)
            var left = Self.senders * Self.messages
            try asleep.drain(
                { envelope in
                    left -= 1
                    checker.delivered(
                        to: slow.id, HistoryChecker.Key(sender: "\(envelope.senderDeviceID)", clientMessageID: envelope.clientMessageID),
                        HistoryChecker.Place(chat: envelope.chatID, chatSeq: envelope.chatSeq, messageID: envelope.messageID),
                        text: "\(envelope.body.count)")
                }, until: { left == 0 })
        }
        let violations = checker.violations()
        #expect(violations.isEmpty, "\(violations.prefix(20).joined(separator: "\n"))")
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
    }

    /// Sends everything as fast as the socket takes it while another thread reads the answers. Gives the most that was unanswered at once.
    private static func push(
        _ sender: WireDevice, to receiver: WireDevice, _ checker: HistoryChecker, _ relay: RelayProcess, _ highest: Highest
    ) throws -> Int {
        let chat = try sender.chat(with: receiver.user)
        let connection = try sender.connectBinary()
        let frames = try (1...UInt64(messages)).map { number in
            let key = HistoryChecker.Key(sender: sender.id, clientMessageID: number)
            checker.wrote(key, text: "\(bodyBytes)", for: [receiver.id])
            return try RawConnection.bytes(
                .message(
                    request: number, chat: chat, clientMessageID: number, body: [UInt8](repeating: 7, count: bodyBytes), devices: [sender, receiver]))
        }
        let sent = Counter()
        Thread.detachNewThread {
            for frame in frames {
                guard connection.send(frame) else { return }
                sent.add()
            }
        }
        var answered = Set<UInt64>()
        var most = 0
        while answered.count < messages {
            let frame = try connection.readServerFrame()
            switch frame.kind {
            case .sent(let place):
                guard answered.insert(frame.requestID).inserted else { throw SupportFailure("send \(frame.requestID) was answered twice") }
                checker.answered(
                    HistoryChecker.Key(sender: sender.id, clientMessageID: place.clientMessageID),
                    HistoryChecker.Place(chat: place.chatID, chatSeq: place.chatSeq, messageID: place.messageID))
            case .error(let error): throw SupportFailure("send \(frame.requestID) was refused with \(error.code)")
            default: break
            }
            most = max(most, sent.value - answered.count)
            if answered.count % 50 == 0 {
                let resident = try relay.residentBytes()
                highest.note(resident)
            }
        }
        return most
    }

    private static func sendOne(from sender: WireDevice, to receiver: WireDevice, _ reader: RawConnection) throws {
        let chat = try sender.chat(with: receiver.user)
        let connection = try sender.connectBinary()
        try connection.send(
            Relay_V1_ClientFrame.message(
                request: 1, chat: chat, clientMessageID: UInt64(messages) + 1, body: Array("alone".utf8), devices: [sender, receiver]))
        var arrived = false
        try reader.drain({ arrived = arrived || Array($0.body) == Array("alone".utf8) }, until: { arrived })
    }

    private final class Highest: Sendable {
        private let number = Mutex(0)
        func note(_ seen: Int) { number.withLock { $0 = max($0, seen) } }
        var value: Int { number.withLock { $0 } }
    }

    private final class Counter: Sendable {
        private let count = Atomic(0)
        func add() { count.add(1, ordering: .relaxed) }
        var value: Int { count.load(ordering: .relaxed) }
    }
}
