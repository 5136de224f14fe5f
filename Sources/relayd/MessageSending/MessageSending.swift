import NIOCore
import RelayDirectory
import RelayMetrics
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

final class SendingCounters: Sendable {
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
    private let counters = SendingCounters()
    let metrics: Metrics
    private var hubs: [LoopHub] = []
    /// Messages of groups with more members are announced, not pushed.
    package let pushMembers: Int
    private let alerts: (any AlertSink)?
    private let onConnect: @Sendable (Principal) -> Void
    private let onContacts: @Sendable ([ContactChange]) -> Void
    private let onOut: @Sendable ([DeviceID]) -> Void

    /// - Parameters:
    ///   - loops: all loops that connections live on, at most 64; ``connect`` takes one of them.
    ///   - pushMembers: messages of larger groups are announced to their members, who fetch them.
    ///   - metrics: where sends, deliveries and acknowledgements are counted.
    ///   - alerts: called on an event loop or on the writer's thread.
    ///   - onConnect: called for every connection that begins, on its event loop.
    ///   - onContacts: hears of contacts that changed, in the order of the commits; on the writer's thread.
    ///   - onOut: hears of devices that may not be connected any more, whether they are or not. Any thread.
    package init(
        writer: Writer, readers: ReaderPool, loops: [any EventLoop], pushMembers: Int = Limits.chatMembers,
        metrics: Metrics = Metrics(), alerts: (any AlertSink)? = nil, onConnect: @escaping @Sendable (Principal) -> Void = { _ in },
        onContacts: @escaping @Sendable ([ContactChange]) -> Void = { _ in }, onOut: @escaping @Sendable ([DeviceID]) -> Void = { _ in }
    ) {
        self.alerts = alerts
        self.metrics = metrics
        self.onConnect = onConnect
        self.onContacts = onContacts
        self.onOut = onOut
        precondition(loops.count <= OnlineTable.maxLoops)
        self.writer = writer
        self.readers = readers
        self.loops = loops
        self.pushMembers = pushMembers
        hubs = loops.enumerated().map {
            LoopHub(
                index: $0, loop: $1, writer: writer, readers: readers, online: online, counters: counters, metrics: metrics, pushMembers: pushMembers,
                receiver: self)
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
        onConnect(principal)
        return stream
    }

    /// Everybody who has a connection, device by device.
    package func connected() async -> [Principal] {
        var found: [Principal] = []
        for (hub, loop) in zip(hubs, loops) { found += (try? await loop.submit { hub.principals }.get()) ?? [] }
        return found
    }

    package func isOnline(_ device: DeviceID) -> Bool { online.place(of: device) != nil }

    /// - Returns: false when the device had no connection.
    @discardableResult
    package func disconnect(_ device: DeviceID, _ reason: StreamEnd) -> Bool {
        guard let place = online.place(of: device) else { return false }
        let hub = hubs[place.loop]
        loops[place.loop].execute { hub.close(place.connection, reason) }
        return true
    }

    package func disconnectAll(_ reason: StreamEnd) {
        for (hub, loop) in zip(hubs, loops) { loop.execute { hub.closeAll(reason) } }
    }

    /// Hands to the writer what devices have acknowledged and connections have gathered. To be called before the store closes.
    package func storeAcknowledgements() async {
        for (hub, loop) in zip(hubs, loops) { try? await loop.submit { hub.storeAcknowledgements() }.get() }
    }

    package func revoked(_ devices: [DeviceID]) {
        onOut(devices)
        for device in devices { disconnect(device, .revoked) }
    }

    package func suspended(_ devices: [DeviceID]) {
        onOut(devices)
        for device in devices { disconnect(device, .suspended) }
    }

    func raise(_ event: AlertEvent) { alerts?.raise(event) }

    package var statistics: SendingStatistics {
        SendingStatistics(
            connections: online.connections, messagesAccepted: counters.messagesAccepted.load(ordering: .relaxed),
            envelopesDelivered: counters.envelopesDelivered.load(ordering: .relaxed),
            requestsRefused: counters.requestsRefused.load(ordering: .relaxed))
    }

    // MARK: On the writer's thread

    package var patience: Duration { MessageSending.patience(connections: online.connections) }

    static func patience(connections: Int) -> Duration {
        min(.milliseconds(connections / Limits.connectionsPerMillisecond), Limits.writerPatience)
    }

    package func committed(_ batch: [Committed], since: Int64) {
        var events: [[LoopHub.Event]] = Array(repeating: [], count: loops.count)
        var accepted = 0
        var refused = 0
        var acknowledgements = 0
        var raised: [AlertEvent] = []
        var contacts: [ContactChange] = []
        online.withLoops { loopsOf in
            func distribute(_ publication: Publication) {
                if publication.audience.count > min(Limits.fanOutMembers, pushMembers) {
                    // Its members are everywhere; each loop finds its own.
                    for loop in events.indices { events[loop].append(.publication(publication)) }
                    return
                }
                var keys = publication.keys[...]
                for user in publication.audience {
                    // Both are in the order of the users.
                    var envelope = publication.envelope
                    if let first = keys.first, first.user == user {
                        envelope.keys = first.keys
                        keys = keys.dropFirst()
                    }
                    loopsOf(user) { events[$0].append(.envelope(user, envelope)) }
                }
            }
            func tell(_ changes: [ContactChange]) {
                contacts += changes
                for change in changes { loopsOf(change.user) { events[$0].append(.contact(change.user, change.row)) } }
            }
            func tell(_ change: KeyChange) {
                // Each loop that somebody of the audience is on, once.
                var found: UInt64 = 0
                for user in change.audience { loopsOf(user) { found |= 1 << UInt64($0) } }
                for loop in events.indices where found & (1 << UInt64(loop)) != 0 { events[loop].append(.keyChange(change)) }
            }
            for entry in batch {
                func answer(_ answer: SendAnswer) {
                    guard let origin = entry.origin else { return }
                    events[origin.loop].append(.answer(connection: origin.connection, request: origin.request, answer))
                }
                switch entry.outcome {
                case .sent(var sent):
                    let publication = sent.publication
                    sent.publication = nil
                    answer(.sent(sent))
                    guard let publication else { continue }
                    accepted += 1
                    distribute(publication)
                case .retried(let retry):
                    metrics.sends.add(.repeated)
                    guard let origin = entry.origin else { continue }
                    events[origin.loop].append(.retry(connection: origin.connection, request: origin.request, retry))
                case .receipts(let moved):
                    if case .acknowledge(let entries) = entry.command { acknowledgements += entries.count }
                    answer(.done)
                    for receipt in moved {
                        for user in receipt.audience { loopsOf(user) { events[$0].append(.receipt(user, receipt.row)) } }
                    }
                case .contact(let contact):
                    answer(.done)
                    tell(contact.changes)
                    contact.publications.forEach(distribute)
                case .userGone(let gone): tell(gone.contacts)
                case .enrolled(let enrolled): if let change = enrolled.change { tell(change) }
                case .deviceRevoked(let change): tell(change)
                case .keysRevoked(let revoked): tell(revoked.change)
                case .keysSet(let set):
                    if let change = set.change { tell(change) }
                    if let flood = set.flood, let change = set.change {
                        raised.append(AlertEvent(.keyChangeFlood, about: .device(change.bundle.device), figure: flood))
                    }
                case .prekeys(let taken):
                    for (device, left) in taken.low { raised.append(AlertEvent(.lowPrekeys, about: .device(device), figure: left)) }
                case .removed(_, _, let publication):
                    if let publication { distribute(publication) }
                case .rejected(let rejection):
                    refused += 1
                    if entry.command.isSending { metrics.sends.add(rejection.sendResult) }
                    answer(.rejected(rejection))
                case .done, .presenceSet, .userAdded, .inviteAdded, .chatOpened, .contactConflict, .erasureAsked, .erasureCancelled, .keysExpired,
                    .purged, .released:
                    continue
                }
            }
        }
        for event in raised { alerts?.raise(event) }
        if !contacts.isEmpty { onContacts(contacts) }
        counters.messagesAccepted.add(accepted, ordering: .relaxed)
        metrics.sends.add(.accepted, accepted)
        metrics.acknowledgements.add(acknowledgements)
        counters.requestsRefused.add(refused, ordering: .relaxed)
        for (index, list) in events.enumerated() where !list.isEmpty {
            let hub = hubs[index]
            loops[index].execute { hub.handle(list, since: since) }
        }
    }

    package func failed() { disconnectAll(.storeFailed) }
}
