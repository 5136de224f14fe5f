import NIOCore
import RelayDirectory
import RelayModel
import RelayStorage
import Synchronization

/// The streams of one event loop. Confined to that loop, hence unchecked.
final class LoopHub: @unchecked Sendable {
    private let index: Int
    private let loop: any EventLoop
    private let writer: Writer
    private let readers: ReaderPool
    private let online: OnlineTable
    private let counters: Counters
    private unowned let receiver: MessageSending

    private var streams: [UInt64: DeviceStream] = [:]
    private var byUser: [UserID: [DeviceStream]] = [:]

    init(index: Int, loop: any EventLoop, writer: Writer, readers: ReaderPool, online: OnlineTable, counters: Counters, receiver: MessageSending) {
        self.index = index
        self.loop = loop
        self.writer = writer
        self.readers = readers
        self.online = online
        self.counters = counters
        self.receiver = receiver
    }

    // MARK: Streams

    func add(_ stream: DeviceStream) {
        streams[stream.connection] = stream
        byUser[stream.principal.user, default: []].append(stream)
    }

    func remove(_ stream: DeviceStream) {
        guard streams.removeValue(forKey: stream.connection) != nil else { return }
        online.remove(stream.principal, loop: index, connection: stream.connection)
        byUser[stream.principal.user]?.removeAll { $0 === stream }
        if byUser[stream.principal.user]?.isEmpty == true { byUser[stream.principal.user] = nil }
    }

    func close(_ connection: UInt64, _ reason: StreamEnd) { streams[connection]?.close(reason) }

    func closeAll(_ reason: StreamEnd) {
        for stream in Array(streams.values) { stream.close(reason) }
    }

    // MARK: What a batch brings

    /// One thing that a committed batch means for this loop.
    enum Event: Sendable {
        case answer(connection: UInt64, request: UInt64, SendAnswer)
        case acknowledged(connection: UInt64)
        case envelope(UserID, StoredEnvelope)
        case receipt(UserID, ReceiptRow)
    }

    /// All events of a batch in one hop; every touched stream is flushed once.
    func handle(_ events: [Event]) {
        var touched: [UInt64: DeviceStream] = [:]
        func touch(_ stream: DeviceStream) { touched[stream.connection] = stream }
        for event in events {
            switch event {
            case .answer(let connection, let request, let answer):
                guard let stream = streams[connection] else { continue }
                stream.answer(request, answer)
                touch(stream)
            case .acknowledged(let connection):
                streams[connection]?.acknowledged()
            case .envelope(let user, let envelope):
                for stream in byUser[user] ?? [] {
                    stream.committed(envelope)
                    touch(stream)
                }
            case .receipt(let user, let row):
                for stream in byUser[user] ?? [] {
                    stream.receipt(row)
                    touch(stream)
                }
            }
        }
        for stream in touched.values { stream.flush() }
    }

    // MARK: What streams need

    func submit(_ command: Command, _ connection: UInt64, _ request: UInt64?) throws(WriterError) {
        try writer.submit(command, reply: .batch(receiver, Origin(loop: index, connection: connection, request: request)))
    }

    func delivered(_ count: Int) { counters.envelopesDelivered.add(count, ordering: .relaxed) }

    /// Looks up where a device is and where its mailbox ends.
    func readPlace(
        of principal: Principal, for connection: UInt64, then: @escaping @Sendable (DeviceStream, (cursor: UInt64, end: UInt64)) -> Void
    ) {
        read(for: connection, then: then) { reader in
            let cursor = try reader.device(principal.device)?.cursor ?? 0
            // Purged envelopes count: the cursor stays where they were.
            return (cursor, max(cursor, try reader.mailboxEnd(of: principal.user)))
        }
    }

    struct MailboxPage: Sendable {
        var envelopes: [StoredEnvelope]
        var complete: Bool
    }

    /// Reads a page off the loop and comes back to the stream, if it is still there.
    func readMailbox(
        of user: UserID, after: UInt64, limit: Int, for connection: UInt64, then: @escaping @Sendable (DeviceStream, MailboxPage) -> Void
    ) {
        read(for: connection, then: then) { reader in
            let envelopes = try reader.mailbox(of: user, after: after, limit: limit, bytes: Limits.drainPageBytes)
            // A page can be short because of its bytes, so only an empty look behind it tells the end.
            let end = try reader.mailboxEnd(of: user)
            return MailboxPage(envelopes: envelopes, complete: (envelopes.last?.mailboxSeq ?? after) >= end)
        }
    }

    func readReceipts(
        for user: UserID, after version: UInt64, _ connection: UInt64,
        then: @escaping @Sendable (DeviceStream, (rows: [ReceiptRow], more: Bool)) -> Void
    ) {
        read(for: connection, then: then) { try $0.receipts(for: user, after: version, limit: Limits.receiptPageRows) }
    }

    private func read<Page: Sendable>(
        for connection: UInt64, then: @escaping @Sendable (DeviceStream, Page) -> Void, _ body: @escaping @Sendable (Reader) throws -> Page
    ) {
        readers.read(body) { result in
            self.loop.execute {
                guard let stream = self.streams[connection] else { return }
                switch result {
                case .success(let page): then(stream, page)
                case .failure: stream.close(.storeFailed)
                }
            }
        }
    }
}
