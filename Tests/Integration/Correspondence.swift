import Foundation
import RelayControl
import RelayTestSupport
import RelayWire
import SwiftProtobuf

/// One device writes to another, without the client library, over as many lives of the relay as it takes: what was not answered is repeated
/// under its number. Tells a ``HistoryChecker`` all of it. Blocks; one thread at a time.
final class Correspondence: @unchecked Sendable {
    let checker = HistoryChecker()
    private var writer: WireDevice
    private var reader: WireDevice
    private let chat: UInt64
    private var number: UInt64 = 0
    /// Sent and not answered, in order.
    private var waiting: [(number: UInt64, frame: [UInt8])] = []
    private var readUpTo: UInt64 = 0

    var answered: Int { checker.answeredCount }

    private init(_ writer: WireDevice, _ reader: WireDevice) throws {
        self.writer = writer
        self.reader = reader
        chat = try writer.chat(with: reader.user)
    }

    /// Two new users with a device each.
    static func between(_ names: (String, String), on relay: RelayProcess) async throws -> Correspondence {
        let codes = [try await relay.chatctl.addUser(names.0).invite.code, try await relay.chatctl.addUser(names.1).invite.code]
        let port = relay.port
        return try await blocking {
            try Correspondence(try WireDevice(port: port, code: codes[0]), try WireDevice(port: port, code: codes[1]))
        }
    }

    /// Writes until `count` more messages are answered, with up to `window` outstanding. False when the relay went away before.
    func write(_ count: Int, bodyBytes: Int, window: Int) throws -> Bool {
        let goal = answered + count
        do {
            try writer.signIn()
            let connection = try writer.connectBinary()
            // What the relay has of these is answered from the store.
            for (_, frame) in waiting { connection.send(frame) }
            while answered < goal {
                while waiting.count < window, answered + waiting.count < goal { connection.send(try another(bodyBytes)) }
                let frame = try connection.readServerFrame()
                switch frame.kind {
                case .sent(let sent): note(sent)
                case .error(let error):
                    guard error.code == "internal" || error.code == "overloaded" else {
                        throw SupportFailure("a send was refused with \(error.code)")
                    }
                    return false
                default: break
                }
            }
            return true
        } catch is RawConnection.Ending {
            return false
        } catch let failure as SupportFailure where failure.description.hasPrefix("connecting") {
            return false
        }
    }

    private func another(_ bodyBytes: Int) throws -> [UInt8] {
        number += 1
        let text = "message \(number), "
        var body = Array(text.utf8)
        body += [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: max(0, bodyBytes - body.count))
        let frame = try RawConnection.bytes(
            .message(request: number, chat: chat, clientMessageID: number, body: body, devices: [writer, reader]))
        checker.wrote(key(number), text: Correspondence.summary(of: body), for: [reader.id])
        waiting.append((number, frame))
        return frame
    }

    private func key(_ number: UInt64) -> HistoryChecker.Key { HistoryChecker.Key(sender: writer.id, clientMessageID: number) }

    private func note(_ sent: Relay_V1_Sent) {
        checker.answered(
            key(sent.clientMessageID), HistoryChecker.Place(chat: sent.chatID, chatSeq: sent.chatSeq, messageID: sent.messageID))
        waiting.removeAll { $0.number == sent.clientMessageID }
    }

    /// The reader connects and takes all that is in its mailbox.
    func read() throws {
        try reader.signIn()
        let connection = try reader.connectBinary(cursor: readUpTo)
        try connection.drain { envelope in
            // A client drops what its cursor has passed.
            guard envelope.mailboxSeq > readUpTo else { return }
            readUpTo = envelope.mailboxSeq
            checker.delivered(
                to: reader.id, HistoryChecker.Key(sender: "\(envelope.senderDeviceID)", clientMessageID: envelope.clientMessageID),
                HistoryChecker.Place(chat: envelope.chatID, chatSeq: envelope.chatSeq, messageID: envelope.messageID),
                text: Correspondence.summary(of: Array(envelope.body)))
        }
    }

    /// A body in a few words: its beginning, its length, and whether the rest is as it was written.
    private static func summary(of body: [UInt8]) -> String {
        let beginning = String(decoding: body.prefix { $0 != UInt8(ascii: ",") }, as: UTF8.self)
        let rest = Array(body.dropFirst(beginning.utf8.count + 2))
        let filling = rest.first ?? 0
        return "\(beginning), \(body.count) bytes of \(rest == [UInt8](repeating: filling, count: rest.count) ? "\(filling)" : "anything")"
    }
}
