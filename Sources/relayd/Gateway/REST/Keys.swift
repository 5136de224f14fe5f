import FoundationEssentials
import HTTPTypes
import Hummingbird
import RelayDirectory
import RelayModel
import RelayStorage
import RelayWire

// What devices publish for others to begin conversations with, and to whom it is given.
extension Routes {
    @Sendable func setKeys(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try keysOwner(request, context)
        let wire = try await request.decode(Relay_V1_KeysUpload.self, maxBytes: Limits.restBodyBytes)
        let ceiling = Limits.keyGraceCeiling.components.seconds
        guard !wire.hasGraceSeconds || wire.graceSeconds <= ceiling else { throw WireFailure.malformed("grace_seconds is at most \(ceiling)") }
        guard wire.agreementKey.isEmpty == wire.agreementSignature.isEmpty else {
            throw WireFailure.malformed("agreement_key and agreement_signature come together")
        }
        guard wire.oneTimePrekeys.count <= Limits.oneTimePrekeys else {
            throw WireFailure.malformed("one_time_prekeys has at most \(Limits.oneTimePrekeys) keys")
        }
        var keys = SetKeys(user: principal.user, device: principal.device)
        if wire.hasGraceSeconds { keys.graceMilliseconds = Int64(wire.graceSeconds) * 1000 }
        if !wire.agreementKey.isEmpty {
            keys.agreement = SignedKey(id: 0, key: Array(wire.agreementKey), signature: Array(wire.agreementSignature))
        }
        if wire.hasSignedPrekey { keys.signedPrekey = try Routes.signed(wire.signedPrekey, "signed_prekey.id") }
        if wire.hasLastResortPrekey { keys.lastResortPrekey = try Routes.signed(wire.lastResortPrekey, "last_resort_prekey.id") }
        let ids = try Checked.ascending(wire.oneTimePrekeys.map(\.id), "one_time_prekeys")
        for id in ids { _ = try Checked.sequence(id, "one_time_prekeys.id") }
        keys.oneTimePrekeys = wire.oneTimePrekeys.map { OneTimePrekey(id: $0.id, key: Array($0.key)) }.sorted { $0.id < $1.id }
        let state: DeviceKeysState
        do throws(DirectoryError) {
            state = try await environment.directory.setKeys(keys)
        } catch {
            guard case .rejected(.keyChangesTooOften(let until)) = error else { throw WireFailure(error) }
            var failure = WireFailure(error)
            failure.retryAfter = max(.milliseconds(until.milliseconds - environment.settings.clock.now().milliseconds), Limits.rateLimitedRetry)
            throw failure
        }
        return try request.reply(Routes.state(state))
    }

    @Sendable func keysState(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try keysOwner(request, context)
        return try request.reply(
            Routes.state(try await directory { directory throws(DirectoryError) in try await directory.keysState(of: principal.device) }))
    }

    /// Not a GET: what is given is given once.
    @Sendable func takePrekeys(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let target: UserID = try id("userId", context)
        try environment.limits.checkPrekeys(principal, of: target)
        let taken = try await directory { directory throws(DirectoryError) in try await directory.takePrekeys(of: target, for: principal) }
        var wire = Relay_V1_User()
        wire.userID = taken.user.rawValue
        wire.devices = taken.bundles.map(ServerFrames.device)
        return try request.reply(wire)
    }

    /// One's own keys only.
    private func keysOwner(_ request: Request, _ context: GatewayContext) throws -> Principal {
        let principal = try principal(request)
        let device: DeviceID = try id("deviceId", context)
        guard device == principal.device else { throw WireFailure(.notFound, "a device's keys are changed and counted by that device only") }
        return principal
    }

    private static func signed(_ wire: Relay_V1_SignedPrekey, _ field: StaticString) throws(WireFailure) -> SignedKey {
        SignedKey(id: try Checked.sequence(wire.id, field), key: Array(wire.key), signature: Array(wire.signature))
    }

    private static func state(_ state: DeviceKeysState) -> Relay_V1_KeysState {
        var wire = Relay_V1_KeysState()
        wire.agreementVersion = state.agreementVersion
        wire.signedPrekeyID = state.signedPrekey
        wire.lastResortPrekeyID = state.lastResortPrekey
        wire.oneTimePrekeys = UInt32(clamping: state.oneTimePrekeys)
        wire.highestOneTimeID = state.highestOneTimeID
        return wire
    }
}
