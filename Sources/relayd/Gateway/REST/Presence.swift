import HTTPTypes
import Hummingbird
import RelayDirectory
import RelayModel
import RelayPresence
import RelayStorage
import RelayWire

// What a user shares, and the presence of a group's members, which is fetched, not pushed.
extension Routes {
    func addPresence(to router: Router<GatewayContext>) {
        add("/v1/presence", [.get: presenceSettings, .put: changePresenceSettings], to: router)
        add("/v1/groups/{chatId}/presence", [.get: groupPresence], to: router)
    }

    @Sendable private func presenceSettings(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try presencePrincipal(request)
        return try reply(
            try await presence { presence throws(PresenceError) in try await presence.sharing(of: principal.user) }, to: request)
    }

    @Sendable private func changePresenceSettings(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try presencePrincipal(request)
        let wire = try await request.decode(Relay_V1_PresenceSettings.self, maxBytes: Limits.restBodyBytes)
        let command = SetPresence(
            user: principal.user, status: wire.hasShareStatus ? wire.shareStatus : nil, lastSeen: wire.hasShareLastSeen ? wire.shareLastSeen : nil,
            device: principal.device)
        guard command.status != nil || command.lastSeen != nil else {
            throw WireFailure.malformed("there is nothing to change: give share_status or share_last_seen")
        }
        return try reply(try await presence { presence throws(PresenceError) in try await presence.share(command) }, to: request)
    }

    @Sendable private func groupPresence(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try presencePrincipal(request)
        let chat: ChatID = try id("chatId", context)
        return try request.reply(
            ServerFrames.presence(
                try await presence { presence throws(PresenceError) in try await presence.presence(in: chat, for: principal.user) }, isSnapshot: true)
        )
    }

    private func presencePrincipal(_ request: Request) throws -> Principal {
        let principal = try principal(request)
        try environment.limits.checkPresence(principal)
        return principal
    }

    private func reply(_ sharing: PresenceSharing, to request: Request) throws -> Response {
        var wire = Relay_V1_PresenceSettings()
        wire.shareStatus = sharing.status
        wire.shareLastSeen = sharing.lastSeen
        return try request.reply(wire)
    }

    private func presence<Result: Sendable>(
        _ call: (Presence) async throws(PresenceError) -> Result
    ) async throws(WireFailure) -> Result {
        do throws(PresenceError) { return try await call(environment.presence) } catch { throw WireFailure(error) }
    }
}

extension WireFailure {
    init(_ error: PresenceError) {
        switch error {
        case .groupUnknown: self.init(.chatUnknown, "no such group, or you are not in it")
        case .userUnknown: self.init(.userUnknown, "no such user")
        case .overloaded: self = .overloaded
        case .stopping: self = .stopping
        case .storeFailed: self = .storeFailed
        }
    }
}

extension ServerFrames {
    static func presence(_ users: [UserID: ShownPresence], isSnapshot: Bool) -> Relay_V1_PresenceUpdate {
        var wire = Relay_V1_PresenceUpdate()
        wire.snapshot = isSnapshot
        wire.users = users.map { user, shown in
            var presence = Relay_V1_Presence()
            presence.userID = user.rawValue
            switch shown {
            case .online: presence.online = true
            case .offline(let lastSeen): presence.lastSeenMs = lastSeen?.milliseconds ?? 0
            }
            return presence
        }
        return wire
    }

    static func terms(_ request: UInt64, _ terms: PresenceTerms) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.requestID = request
        frame.presenceTerms.heartbeatMs = UInt32(clamping: terms.heartbeat.nanoseconds / 1_000_000)
        frame.presenceTerms.offlineAfterMs = UInt32(clamping: terms.offlineAfter.nanoseconds / 1_000_000)
        return frame
    }
}
