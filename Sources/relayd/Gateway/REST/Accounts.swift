import FoundationEssentials
import HTTPTypes
import Hummingbird
import RelayDirectory
import RelayHostAssigner
import RelayMetrics
import RelayModel
import RelayStorage
import RelayWire

extension Routes {
    // MARK: The relay

    /// Reached only when the request was not upgraded: says why.
    @Sendable func connect(_ request: Request, _ context: GatewayContext) async throws -> Response {
        _ = try ConnectRequest(
            uri: request.uri.string,
            header: { name in
                guard let name = HTTPField.Name(name) else { return [] }
                // The sniffer has replaced `Connection`, see there.
                if name == .connection { return ["upgrade"] }
                return request.headers[values: name].flatMap { value in
                    value.split(separator: ",").map { String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
                }
            }, directory: environment.directory)
        throw WireFailure(.upgradeRequired, "a WebSocket begins with the first request of a connection")
    }

    @Sendable func info(_ request: Request, _ context: GatewayContext) async throws -> Response {
        var info = Relay_V1_Info()
        info.version = environment.settings.version
        info.maxBodyBytes = UInt32(clamping: environment.settings.maxBodyBytes)
        info.maxGroupMembers = UInt32(Limits.chatMembers)
        info.maxDevicesPerUser = UInt32(clamping: environment.settings.devicesPerUser)
        info.nowMs = environment.settings.clock.now().milliseconds
        return try request.reply(info)
    }

    @Sendable func assignment(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let assigned = assigner.assignment
        var wire = Relay_V1_Assignment()
        wire.version = assigned.version
        wire.slots = UInt32(Slot.count)
        wire.hosts = assigned.hosts.map { host in
            var slots = Relay_V1_HostSlots()
            slots.host = host.host
            slots.url = host.url
            slots.ranges = host.ranges.flatMap { [UInt32(clamping: $0.lowerBound), UInt32(clamping: $0.upperBound)] }
            return slots
        }
        return try request.reply(wire)
    }

    /// Where an invite link leads when it is opened in a browser. The code is in the link's fragment, which browsers do not send.
    @Sendable func enrolPage(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let text = """
            This is an invite to the message relay at \(environment.settings.publicURL).

            Copy the whole link from the address bar and give it to your client program, for instance:

                chatctl client enrol 'LINK'

            The link works once. Whoever uses it first gets the account, so do not pass it on.

            """
        return Response(status: .ok, headers: [.contentType: "text/plain; charset=utf-8"], body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    // MARK: Enrolment and tokens

    @Sendable func enrol(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try environment.limits.checkSignIn(from: context.address)
        let wire = try await request.decode(Relay_V1_EnrolRequest.self, maxBytes: Limits.restBodyBytes)
        guard !wire.keys.hasSignedPrekey, !wire.keys.hasLastResortPrekey, wire.keys.oneTimePrekeys.isEmpty else {
            throw WireFailure.malformed("prekeys come after the enrolment, because their signatures name the device: PUT /v1/devices/{deviceId}/keys")
        }
        let keys = DeviceKeySet(
            identityKey: Array(wire.keys.identityKey), agreementKey: Array(wire.keys.agreementKey),
            agreementSignature: Array(wire.keys.agreementSignature))
        let enrolled = try await directory { directory throws(DirectoryError) in
            try await directory.enrol(code: wire.inviteCode, deviceName: wire.deviceName, keys: keys)
        }
        return try request.reply(Routes.enrolled(enrolled), status: .created)
    }

    @Sendable func challenge(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try environment.limits.checkSignIn(from: context.address)
        let wire = try await request.decode(Relay_V1_ChallengeRequest.self, maxBytes: Limits.restBodyBytes)
        let challenge = environment.directory.challenge(for: try Checked.id(wire.deviceID, "device_id"))
        var reply = Relay_V1_ChallengeReply()
        reply.challenge = Data(challenge.bytes)
        reply.expiresAtMs = challenge.expires.milliseconds
        return try request.reply(reply)
    }

    @Sendable func token(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try environment.limits.checkSignIn(from: context.address)
        let wire = try await request.decode(Relay_V1_TokenRequest.self, maxBytes: Limits.restBodyBytes)
        let device: DeviceID = try Checked.id(wire.deviceID, "device_id")
        let signIns = environment.settings.metrics.signIns
        let token: IssuedToken
        do throws(DirectoryError) {
            token = try await environment.directory.token(device: device, challenge: Array(wire.challenge), signature: Array(wire.signature))
        } catch {
            signIns.add(Self.signInResult(error))
            throw WireFailure(error)
        }
        signIns.add(.accepted)
        var reply = Relay_V1_TokenReply()
        reply.token = token.token
        reply.expiresAtMs = token.expires.milliseconds
        return try request.reply(reply)
    }

    private static func signInResult(_ error: DirectoryError) -> SignInResult {
        switch error {
        case .signatureInvalid: .signature
        case .challengeExpired: .challenge
        case .deviceRevoked, .rejected(.deviceUnknown): .revoked
        case .userSuspended: .suspended
        default: .failed
        }
    }

    // MARK: Users and their keys

    @Sendable func userByName(_ request: Request, _ context: GatewayContext) async throws -> Response {
        _ = try principal(request)
        guard let name = request.query.text("name"), !name.isEmpty else { throw WireFailure.malformed("name a user: /v1/users?name=NAME") }
        return try request.reply(
            Routes.user(try await directory { directory throws(DirectoryError) in try await directory.userWithDevices(named: name) }))
    }

    @Sendable func userByID(_ request: Request, _ context: GatewayContext) async throws -> Response {
        _ = try principal(request)
        let id: UserID = try id("userId", context)
        return try request.reply(Routes.user(try await directory { directory throws(DirectoryError) in try await directory.userWithDevices(id) }))
    }

    @Sendable func device(_ request: Request, _ context: GatewayContext) async throws -> Response {
        _ = try principal(request)
        let id: DeviceID = try id("deviceId", context)
        let row: DeviceRow
        do throws(DirectoryError) {
            row = try await environment.directory.anyDevice(id)
        } catch {
            if case .rejected(.deviceUnknown) = error { throw WireFailure(.notFound, "no such device") }
            throw WireFailure(error)
        }
        return try request.reply(Routes.device(row))
    }

    static func user(_ details: UserDevices) -> Relay_V1_User {
        var wire = Relay_V1_User()
        wire.userID = details.user.id.rawValue
        wire.name = details.user.name.text
        wire.displayName = details.user.displayName ?? ""
        wire.devices = details.devices.map(device)
        return wire
    }

    private static func device(_ row: DeviceRow) -> Relay_V1_Device {
        var device = Relay_V1_Device()
        device.deviceID = row.id.rawValue
        device.name = row.name
        device.userID = row.user.rawValue
        device.revoked = row.revoked
        device.keys = ServerFrames.keys(row.keys, agreementVersion: row.agreementVersion)
        return device
    }
}
