import NIOCore
import RelayPresence

/// The devices of one event loop that take part in presence. Confined to that loop, hence unchecked; ``deliver(_:)`` from anywhere.
final class PresenceLoop: PresenceLane, @unchecked Sendable {
    private let loop: any EventLoop
    private var handlers: [ObjectIdentifier: ConnectionHandler] = [:]

    init(on loop: any EventLoop) { self.loop = loop }

    func add(_ seat: PresenceSeat, _ handler: ConnectionHandler) { handlers[ObjectIdentifier(seat)] = handler }

    func remove(_ seat: PresenceSeat) { handlers[ObjectIdentifier(seat)] = nil }

    func deliver(_ updates: [PresenceUpdate]) async -> [PresenceUpdate] {
        // A loop that is being shut down has no connections any more.
        (try? await loop.submit { updates.filter { !self.push($0) } }.get()) ?? []
    }

    /// - Returns: false when the socket takes no more.
    private func push(_ update: PresenceUpdate) -> Bool {
        guard let handler = handlers[ObjectIdentifier(update.seat)] else { return true }
        guard handler.isWritable else { return false }
        handler.push(update)
        return true
    }
}
