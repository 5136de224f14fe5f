import NIOCore
import NIOHTTP1
import RelayHTTP
import RelayModel
import RelayWire

/// How a session takes part in presence.
package enum PresencePart: Sendable, Equatable {
    /// Contacts see that the user is there.
    case share
    /// And the session is told of them.
    case watch
}

/// What this user is told of another one.
package struct KnownPresence: Sendable, Equatable {
    package var user: UserID
    /// Nil while the list of contacts has no name for the user.
    package var name: String?
    package var isOnline: Bool
    /// Of who is offline, in whole minutes; nil: the relay does not say.
    package var lastSeen: Timestamp?
}

/// Presence: saying that this device is there, and hearing of contacts. Nothing of it is kept on disk.
extension Session {
    /// Takes part in another way from now on, also on later connections. Nil: not any more, as if the device had logged out.
    package func takePart(_ part: PresencePart?) {
        presencePart = part
        if established { askPresence(leaving: part == nil) }
    }

    /// Everybody of whom there is something to tell; the others are offline. Nil until the relay has said so on this connection.
    package var presence: [KnownPresence]? {
        get throws(ClientError) {
            guard let presenceOf else { return nil }
            let state = try working()
            return try state.storing { try presenceOf.values.map { try named($0, state) } }.sorted {
                ($0.name ?? "", $0.user) < ($1.name ?? "", $1.user)
            }
        }
    }

    /// What this user lets contacts know.
    package func presenceSharing() async throws(ClientError) -> PresenceSharing {
        let api = api
        return PresenceSharing(try await withToken { token throws(ClientError) in try await api.presenceSettings(token: token) })
    }

    /// Nil: as it was. Works without a stream, as what follows.
    @discardableResult
    package func sharePresence(status: Bool? = nil, lastSeen: Bool? = nil) async throws(ClientError) -> PresenceSharing {
        let api = api
        return PresenceSharing(
            try await withToken { token throws(ClientError) in try await api.changePresenceSettings(status: status, lastSeen: lastSeen, token: token)
            })
    }

    /// Of the members of a group those of whom there is something to tell. Fetched, whatever the session takes part in.
    package func presence(in chat: ChatID) async throws(ClientError) -> [KnownPresence] {
        let api = api
        let update = try await withToken { token throws(ClientError) in try await api.presence(in: chat, token: token) }
        let state = try working()
        return try state.storing { try update.users.map { try named($0, state) } }.sorted { ($0.name ?? "", $0.user) < ($1.name ?? "", $1.user) }
    }

    private func named(_ presence: Relay_V1_Presence, _ state: ClientState) throws -> KnownPresence {
        let user = UserID(presence.userID)
        return KnownPresence(
            user: user, name: try state.contactName(user) ?? state.userName(user), isOnline: presence.online,
            lastSeen: presence.lastSeenMs > 0 ? Timestamp(milliseconds: presence.lastSeenMs) : nil)
    }

    // MARK: The stream

    /// When the stream is open, and when the session takes part in another way. Flushes.
    func askPresence(leaving: Bool = false) {
        guard presencePart != nil || leaving else { return }
        stopHeartbeat()
        presenceOf = nil
        var frame = Relay_V1_ClientFrame()
        frame.requestID = nextRequest
        nextRequest += 1
        switch presencePart {
        case nil: frame.presence.mode = .leave
        case .share: frame.presence.mode = .share
        case .watch: frame.presence.mode = .watch
        }
        write(frame)
        channel?.flush()
    }

    func stopHeartbeat() {
        heartbeat?.cancel()
        heartbeat = nil
    }

    /// The relay says how often it wants to hear of this device.
    func apply(_ terms: Relay_V1_PresenceTerms) {
        stopHeartbeat()
        guard presencePart != nil, terms.heartbeatMs > 0 else { return }
        let pause = TimeAmount.milliseconds(Int64(terms.heartbeatMs))
        heartbeat = loop.scheduleRepeatedTask(initialDelay: pause, delay: pause) { [weak self] _ in self?.assumeIsolated { $0.beat() } }
    }

    /// A pong that nobody asked for is a sign of life without an answer. Now and then a ping, to hear of the relay as well: it does not ask a
    /// connection that is never silent.
    private func beat() {
        guard established, let channel else { return }
        if NIODeadline.now() - lastHeard > TimeAmount(Limits.webSocketPingInterval) { channel.ping() } else { channel.pong() }
        channel.flush()
    }

    func apply(_ update: Relay_V1_PresenceUpdate, _ state: ClientState, _ effects: inout Effects) throws {
        guard update.users.count <= Limits.contacts else { throw ClientError.protocolViolation("an update names more users than there are contacts") }
        var known = update.snapshot ? [:] : presenceOf ?? [:]
        for presence in update.users {
            let isSomething = presence.online || presence.lastSeenMs > 0
            known[UserID(presence.userID)] = isSomething ? presence : nil
        }
        guard known.count <= 2 * Limits.contacts else { throw ClientError.protocolViolation("the relay tells of more users than there are contacts") }
        presenceOf = known
        effects.events.append(.presence(try update.users.map { try named($0, state) }, isSnapshot: update.snapshot))
    }
}

extension PresenceSharing {
    init(_ settings: Relay_V1_PresenceSettings) { self.init(status: settings.shareStatus, lastSeen: settings.shareLastSeen) }
}

extension RelayAPI {
    package func presenceSettings(token: String) async throws(ClientError) -> Relay_V1_PresenceSettings {
        try await call(.GET, "/v1/presence", token: token)
    }

    package func changePresenceSettings(status: Bool?, lastSeen: Bool?, token: String) async throws(ClientError) -> Relay_V1_PresenceSettings {
        var settings = Relay_V1_PresenceSettings()
        if let status { settings.shareStatus = status }
        if let lastSeen { settings.shareLastSeen = lastSeen }
        return try await call(.PUT, "/v1/presence", token: token, body: settings)
    }

    package func presence(in chat: ChatID, token: String) async throws(ClientError) -> Relay_V1_PresenceUpdate {
        try await call(.GET, "/v1/groups/\(chat)/presence", token: token)
    }
}
