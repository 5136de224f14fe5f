import Foundation
import RelayControl
import RelayTestSupport
import RelayWire
import SwiftProtobuf
import Testing

/// What one message asks of the heap on its way through the real relayd: a cost that a machine's speed does not change.
@Suite("Allocations of a message") struct AllocationTests {
    static let messages = 2000
    /// Sends that are on their way at once: they share the work of a read, a commit and a flush.
    static let window = 8
    static let bodyBytes = 200
    /// Calls of the heap for each message that was sent, stored, delivered and acknowledged, in a debug build, with a tenth of headroom.
    static let allocationsPerMessage = 86.0

    @Test(.timeLimit(.minutes(10))) func aMessageKeepsToItsAllocations() async throws {
        let directory = try TemporaryDirectory()
        let counter = try Preload.AllocationCounter(directory)
        let relay = try RelayProcess(logLevel: "warning", environment: counter.environment)
        try await relay.start()
        #expect(counter.calls > 0, "the counting library was not loaded")
        let codes = [try await relay.chatctl.addUser("alice").invite.code, try await relay.chatctl.addUser("bob").invite.code]
        let port = relay.port
        let (calls, bytes) = try await blocking {
            let alice = try WireDevice(port: port, code: codes[0])
            let bob = try WireDevice(port: port, code: codes[1])
            var pair = try Pair(alice, bob)
            // Caches and buffers get their size.
            try pair.exchange(10 * Self.window)
            let (calls, bytes) = (counter.calls, counter.bytes)
            try pair.exchange(Self.messages)
            return (counter.calls - calls, counter.bytes - bytes)
        }
        let each = Double(calls) / Double(Self.messages)
        print("a delivered message costs \((each * 10).rounded() / 10) allocations and \(bytes / Self.messages) bytes of them (debug build)")
        #expect(each <= Self.allocationsPerMessage)
        #expect(await relay.terminate() == .exited(0))
    }

    /// One device that writes and one that reads, in step: a window of sends, their answers, their deliveries, one acknowledgement.
    private struct Pair {
        let devices: [WireDevice]
        let chat: UInt64
        let writer: RawConnection
        let reader: RawConnection
        var number: UInt64 = 0

        init(_ alice: WireDevice, _ bob: WireDevice) throws {
            devices = [alice, bob]
            chat = try alice.chat(with: bob.user)
            writer = try alice.connectBinary()
            reader = try bob.connectBinary()
            for connection in [writer, reader] { try connection.drain { _ in } }
        }

        mutating func exchange(_ count: Int) throws {
            for _ in 0..<(count / window) {
                var burst: [UInt8] = []
                for _ in 0..<window {
                    number += 1
                    burst += try RawConnection.bytes(
                        .message(
                            request: number, chat: chat, clientMessageID: number, body: [UInt8](repeating: 1, count: bodyBytes), devices: devices))
                }
                writer.send(burst)
                var unanswered = window
                while unanswered > 0 {
                    let frame = try writer.readServerFrame()
                    if case .error(let error) = frame.kind { throw SupportFailure("refused with \(error.code)") }
                    if case .sent = frame.kind { unanswered -= 1 }
                }
                var undelivered = window
                var last: UInt64 = 0
                while undelivered > 0 {
                    guard case .deliver(let deliver) = try reader.readServerFrame().kind else { continue }
                    undelivered -= deliver.envelopes.count
                    last = deliver.envelopes.last?.mailboxSeq ?? last
                }
                try reader.acknowledge(last)
                // The receipt that it makes is a part of the message's cost.
                while true { if case .receipts = try writer.readServerFrame().kind { break } }
            }
        }
    }
}
