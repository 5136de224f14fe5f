import NIOCore
import RelayDirectory
import RelayModel
import RelayStorage
import Synchronization

/// Since the start.
package struct SendingStatistics: Sendable {
    package var connections: Int
    package var messagesAccepted: Int
    package var envelopesDelivered: Int
    package var requestsRefused: Int
}

final class Counters: Sendable {
    let messagesAccepted = Atomic(0)
    let envelopesDelivered = Atomic(0)
    let requestsRefused = Atomic(0)
}

/// Accepts messages, has them stored, and delivers them.
///
/// A message crosses three threads: the sender's event loop queues it, the writer commits it with everything else that is waiting, and
/// one hop per event loop and batch brings answers and envelopes to the connections. Admission (membership, devices, idempotency) is the
/// engine's, in the order of the commands.
package final class MessageSending: CommitReceiver, RevocationListener, @unchecked Sendable {
    // Unchecked only because the hubs are set last in `init`: they need `self` as the writer's receiver. Nothing changes afterwards.
    let writer: Writer
    let readers: ReaderPool
    private let loops: [any EventLoop]
    private let online = OnlineTable()
    private let counters = Counters()
    private var hubs: [LoopHub] = []

    /// - Parameter loops: all loops that connections live on; ``connect`` takes one of them.
    package init(writer: Writer, readers: ReaderPool, loops: [any EventLoop]) {
        self.writer = writer
        self.readers = readers
        self.loops = loops
        hubs = loops.enumerated().map {
            LoopHub(index: $0, loop: $1, writer: writer, readers: readers, online: online, counters: counters, receiver: self)
        }
    }

    // MARK: Connections

    /// Begins to deliver to a device. On the connection's event loop.
    ///
    /// - Parameters:
    ///   - cursor: the device has everything up to this mailbox sequence.
    ///   - receiptsVersion: the device has all receipts up to this version.
    package func connect(
        _ principal: Principal, cursor: UInt64, receiptsVersion: UInt64, sink: any DeviceSink, on loop: any EventLoop
    ) -> DeviceStream {
        loop.preconditionInEventLoop()
        guard let index = loops.firstIndex(where: { $0 === loop }) else { preconditionFailure("a connection on a loop that is not ours") }
        let (connection, former) = online.add(principal, loop: index)
        if let former {
            let hub = hubs[former.loop]
            loops[former.loop].execute { hub.close(former.connection, .replaced) }
        }
        let stream = DeviceStream(principal, connection: connection, hub: hubs[index], sink: sink)
        hubs[index].add(stream)
        stream.start(cursor: cursor, receiptsAfter: receiptsVersion)
        return stream
    }

    package func isOnline(_ device: DeviceID) -> Bool { online.place(of: device) != nil }

    package func disconnect(_ device: DeviceID, _ reason: StreamEnd) {
        guard let place = online.place(of: device) else { return }
        let hub = hubs[place.loop]
        loops[place.loop].execute { hub.close(place.connection, reason) }
    }

    package func disconnectAll(_ reason: StreamEnd) {
        for (hub, loop) in zip(hubs, loops) { loop.execute { hub.closeAll(reason) } }
    }

    package func revoked(_ devices: [DeviceID]) {
        for device in devices { disconnect(device, .revoked) }
    }

    package func suspended(_ devices: [DeviceID]) {
        for device in devices { disconnect(device, .suspended) }
    }

    package var statistics: SendingStatistics {
        SendingStatistics(
            connections: online.connections, messagesAccepted: counters.messagesAccepted.load(ordering: .relaxed),
            envelopesDelivered: counters.envelopesDelivered.load(ordering: .relaxed),
            requestsRefused: counters.requestsRefused.load(ordering: .relaxed))
    }

    // MARK: On the writer's thread

    package func committed(_ batch: [Committed]) {
        var events: [[LoopHub.Event]] = Array(repeating: [], count: loops.count)
        var accepted = 0
        var refused = 0
        online.withLoops { loopsOf in
            for entry in batch {
                func answer(_ answer: SendAnswer) {
                    guard let origin = entry.origin else { return }
                    if let request = origin.request {
                        events[origin.loop].append(.answer(connection: origin.connection, request: request, answer))
                    } else {
                        events[origin.loop].append(.acknowledged(connection: origin.connection))
                    }
                }
                switch entry.outcome {
                case .sent(let sent):
                    answer(.sent(sent))
                    guard case .send(let send) = entry.command, !sent.mailboxes.isEmpty else { continue }
                    accepted += 1
                    for (index, place) in sent.mailboxes.enumerated() {
                        loopsOf(place.user) { loop in
                            events[loop].append(.envelope(place.user, MessageSending.envelope(of: send, sent, place, index)))
                        }
                    }
                case .receipts(let moved):
                    answer(.done)
                    for receipt in moved {
                        for member in receipt.members { loopsOf(member) { events[$0].append(.receipt(member, receipt.row)) } }
                    }
                case .rejected(let rejection):
                    refused += 1
                    answer(.rejected(rejection))
                case .done, .userAdded, .inviteAdded, .enrolled, .chatOpened, .removed:
                    continue
                }
            }
        }
        counters.messagesAccepted.add(accepted, ordering: .relaxed)
        counters.requestsRefused.add(refused, ordering: .relaxed)
        for (index, list) in events.enumerated() where !list.isEmpty {
            let hub = hubs[index]
            loops[index].execute { hub.handle(list) }
        }
    }

    private static func envelope(of send: Send, _ sent: SentOutcome, _ place: MailboxPlace, _ index: Int) -> StoredEnvelope {
        StoredEnvelope(
            mailboxSeq: place.seq, chat: sent.chat, chatSeq: sent.chatSeq, message: sent.message, senderUser: send.user,
            senderDevice: send.device, clientMessageID: send.clientMessageID, body: send.body,
            keys: send.keys(of: place.user, at: index) ?? PackedKeys())
    }

    package func failed() { disconnectAll(.storeFailed) }
}
