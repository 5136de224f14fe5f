import Dispatch
import NIOCore
import NIOPosix
import RelayHTTP
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayTestSupport
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayDirectory

/// Who sends faster than the disk takes it is read no further; nobody is refused for it.
@Suite("Back-pressure") struct BackPressureTests {
    /// Holds the writer's thread from here on, until the semaphore is signalled.
    private static func hold(_ writer: Writer) async throws -> DispatchSemaphore {
        let gate = DispatchSemaphore(value: 0)
        let (held, began) = AsyncStream<Void>.makeStream()
        try writer.submit(
            .read(UserID(1), ChatID(1), chatSeq: 1),
            reply: .call { _ in
                began.finish()
                gate.wait()
            })
        for await _ in held {}
        return gate
    }

    /// The frames are small, so that one read from the socket brings more of them than may wait: it stops in the middle.
    @Test func aConnectionIsReadUpToItsShare() async throws {
        try await RunningGateway.run { relay, _ in
            let alice = try await relay.addUser("alice")
            let connection = try await relay.connect(alice)
            let others = [try await relay.connect(try await relay.addUser("bob")), try await relay.connect(try await relay.addUser("carol"))]
            let writer = relay.store.writer
            let gate = try await Self.hold(writer)
            let count = UInt64(4 * Limits.sendsInFlight)
            var bytes = ByteBuffer()
            for number in 1...count {
                var frame = Relay_V1_ClientFrame()
                frame.requestID = number
                frame.read.chatID = 1
                frame.read.chatSeq = 1
                let payload: [UInt8] = try frame.serializedBytes()
                WebSocketFrames.write(.binary, payload: ByteBuffer(bytes: payload), mask: 7, into: &bytes)
            }
            connection.send(Array(bytes.readableBytesView))
            // The one that holds the writer waits, too.
            while writer.statistics.queued <= Limits.sendsInFlight { await Task.yield() }
            // Whatever the connection's loop was doing then is done when the loops have answered others.
            for other in others {
                try other.send(.ping(1))
                _ = try await other.frame { $0.requestID == 1 }
            }
            #expect(writer.statistics.queued == 1 + Limits.sendsInFlight)
            gate.signal()
            for number in 1...count { #expect(try await connection.frame { $0.requestID != 0 }.requestID == number) }
        }
    }

    /// So many connections flood that their shares together would be more than the inbox takes.
    @Test func aCrowdIsReadInTurns() async throws {
        let folder = try TemporaryDirectory()
        let store = try Store(path: folder.file("relay.db"), onFailure: { Issue.record("the store failed: \($0)") })
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let sending = MessageSending(writer: store.writer, readers: store.readers, loops: [loop])
        let gate = try await Self.hold(store.writer)
        let full = Limits.writerCrowd / Limits.sendsInFlight
        let connections = Limits.writerInbox / Limits.sendsInFlight + full

        let senders = try await loop.submit {
            let senders = (0..<connections).map { number in
                let sender = Sender()
                let principal = Principal(user: UserID(UInt64(number + 1)), device: DeviceID(UInt64(number + 1)), noLimits: true)
                sender.stream = sending.connect(principal, cursor: 0, receiptsVersion: 0, sink: sender, on: loop)
                return sender
            }
            for sender in senders { sender.sendWhileRead() }
            return NIOLoopBound(senders, eventLoop: loop)
        }.get()
        try await loop.submit {
            let sent = senders.value.map { $0.sent }
            #expect(sent[..<full].allSatisfy { $0 == Limits.sendsInFlight })
            #expect(sent[full...].allSatisfy { $0 == 1 })
        }.get()
        #expect(store.writer.statistics.queued == 1 + Limits.writerCrowd + connections - full)

        gate.signal()
        for wanted in stride(from: 0, to: connections, by: 80) {
            // Each is read again, and answered each time.
            try await loop.flatSubmit { senders.value[wanted].whenAnswered(2, loop) }.get()
        }
        try await loop.submit { #expect(senders.value.allSatisfy { $0.refused == 0 && $0.closed == 0 }) }.get()
        try await loop.submit { for sender in senders.value { sender.stop() } }.get()
        await store.close()
        try await group.shutdownGracefully()
    }

    /// A connection that has more to send than is read at once. Confined to its event loop.
    private final class Sender: DeviceSink {
        func push(_ contacts: [ContactRow]) {}
        func push(_ change: KeyChange) {}
        var stream: DeviceStream?
        var sent = 0
        var answered = 0
        var refused = 0
        var closed = 0
        private var paused = false
        /// Twice as much would take the test longer and show the same.
        private let most = Limits.sendsInFlight + 1
        private var waiting: (Int, EventLoopPromise<Void>)?

        func sendWhileRead() {
            while !paused, sent < most {
                sent += 1
                stream?.read(request: UInt64(sent), chat: ChatID(1), chatSeq: 1)
            }
        }

        func whenAnswered(_ count: Int, _ loop: any EventLoop) -> EventLoopFuture<Void> {
            let promise = loop.makePromise(of: Void.self)
            if answered >= count { promise.succeed() } else { waiting = (count, promise) }
            return promise.futureResult
        }

        func stop() { stream?.closed() }

        var isWritable: Bool { true }
        func answer(_ request: UInt64, _ answer: SendAnswer) {
            if case .overloaded = answer { refused += 1 }
            answered += 1
            if let (count, promise) = waiting, answered >= count {
                waiting = nil
                promise.succeed()
            }
        }
        func pauseReading(_ paused: Bool) {
            self.paused = paused
            sendWhileRead()
        }
        func close(_ reason: StreamEnd) { closed += 1 }
        func push(_ envelopes: ArraySlice<StoredEnvelope>) {}
        func push(_ receipts: [ReceiptRow]) {}
        func announce(_ positions: [ChatPosition]) {}
        func caughtUp(_ mailboxSeq: UInt64) {}
        func flush() {}
    }
}
