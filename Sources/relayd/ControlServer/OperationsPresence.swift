import NIOCore
import RelayControl
import RelayModel
import RelayPresence
import RelayStorage

// Who is there, in classes; and of one user when they were last seen, as far as they let others know.
extension Operations {
    func presenceSummary(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(PresenceSummary.self, body) { _ in
            let counts = presence.counts
            return PresenceSummary.Reply(
                usersOnline: CountClass(of: counts.users), devicesOnline: CountClass(of: counts.devices),
                devicesWatching: CountClass(of: counts.watching), heartbeatSeconds: Int(presence.terms.heartbeat.components.seconds),
                offlineAfterSeconds: Int(presence.terms.offlineAfter.components.seconds))
        }
    }

    /// Nil for who hides it.
    func lastSeen(of user: UserRow) -> Timestamp? { user.sharing.tellsLastSeen ? presence.lastSeen(of: user.id) ?? user.lastSeen : nil }
}
