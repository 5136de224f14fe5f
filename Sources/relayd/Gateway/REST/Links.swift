import FoundationEssentials
import HTTPTypes
import Hummingbird
import RelayDirectory
import RelayModel
import RelayStorage
import RelayWire

// A device takes in a new one of its user. What passes here is sealed between the two.
extension Routes {
    func addLinks(to router: Router<GatewayContext>) {
        add("/link", [.get: linkPage], to: router)
        add("/v1/links", [.post: openLink], to: router)
        add("/v1/links/device", [.post: linkedDevice], to: router)
        add("/v1/links/{linkId}", [.delete: endLink], to: router)
        add("/v1/links/{linkId}/hello", [.get: linkHello, .post: sayHello], to: router)
        add("/v1/links/{linkId}/answer", [.get: linkAnswer, .put: answerLink], to: router)
        add("/v1/links/{linkId}/approval", [.get: linkApproval, .post: approveLink], to: router)
        add("/v1/links/{linkId}/parts/{part}", [.get: fetchLinkPart, .put: leaveLinkPart], to: router)
        add("/v1/links/{linkId}/receipt", [.get: linkReceipt, .post: leaveReceipt], to: router)
    }

    /// Where a link leads when it is opened in a browser. The code is in its fragment, which browsers do not send.
    @Sendable func linkPage(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let text = """
            With this link somebody adds a device to their own account on the message relay at \(environment.settings.publicURL).

            If that is you: copy the whole link from the address bar and give it to the client program on the new device, for instance:

                chatctl client link join 'LINK' --device laptop --state DIR

            If somebody sent it to you, do nothing with it: your device would become one of theirs.

            """
        return Response(status: .ok, headers: [.contentType: "text/plain; charset=utf-8"], body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    // MARK: The old device

    @Sendable func openLink(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let wire = try await request.decode(Relay_V1_LinkRequest.self, maxBytes: Limits.restBodyBytes)
        let expires = try await directory { directory throws(DirectoryError) in try directory.openLink(Array(wire.linkID), principal) }
        return try request.reply(Routes.link(expires), status: .created)
    }

    @Sendable func linkHello(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (principal, id) = (try principal(request), try linkID(context))
        return try await sealed(request) { directory throws(DirectoryError) in try await directory.helloOfLink(id, principal) }
    }

    @Sendable func answerLink(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (principal, id) = (try principal(request), try linkID(context))
        let wire = try await request.decode(Relay_V1_LinkSealed.self, maxBytes: Limits.restBodyBytes)
        try await directory { directory throws(DirectoryError) in try directory.answerLink(id, Array(wire.sealed), principal) }
        return try request.reply(Relay_V1_LinkSealed())
    }

    @Sendable func approveLink(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (principal, id) = (try principal(request), try linkID(context))
        let wire = try await request.decode(Relay_V1_LinkApproval.self, maxBytes: Limits.restBodyBytes)
        guard !wire.keys.hasSignedPrekey, !wire.keys.hasLastResortPrekey, wire.keys.oneTimePrekeys.isEmpty else {
            throw WireFailure.malformed("a device uploads its prekeys itself: PUT /v1/devices/{deviceId}/keys")
        }
        let keys = DeviceKeySet(
            identityKey: Array(wire.keys.identityKey), agreementKey: Array(wire.keys.agreementKey),
            agreementSignature: Array(wire.keys.agreementSignature))
        let enrolled = try await directory { directory throws(DirectoryError) in
            try await directory.approveLink(id, deviceName: wire.deviceName, keys: keys, principal)
        }
        return try request.reply(Routes.enrolled(enrolled), status: .created)
    }

    @Sendable func leaveLinkPart(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (principal, id, part) = (try principal(request), try linkID(context), try part(context))
        // Base64, and what JSON writes around it.
        let wire = try await request.decode(Relay_V1_LinkSealed.self, maxBytes: Limits.linkPartBytes * 4 / 3 + 1024)
        var reply = Relay_V1_LinkProgress()
        reply.nextPart = UInt32(
            clamping: try await directory { directory throws(DirectoryError) in
                try await directory.leaveLinkPart(id, part, Array(wire.sealed), principal)
            })
        return try request.reply(reply)
    }

    @Sendable func linkReceipt(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (principal, id) = (try principal(request), try linkID(context))
        return try await sealed(request) { directory throws(DirectoryError) in try await directory.receiptOfLink(id, principal) }
    }

    // MARK: The new device

    @Sendable func sayHello(_ request: Request, _ context: GatewayContext) async throws -> Response {
        // Here codes are guessed, if anywhere.
        try environment.limits.checkSignIn(from: context.address)
        let (claim, id) = (try claim(request), try linkID(context))
        let wire = try await request.decode(Relay_V1_LinkSealed.self, maxBytes: Limits.restBodyBytes)
        let (expires, resumed) = try await directory { directory throws(DirectoryError) in
            try directory.sayHello(id, Array(wire.sealed), claim: claim)
        }
        var reply = Routes.link(expires)
        reply.resumed = resumed
        return try request.reply(reply)
    }

    @Sendable func linkAnswer(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (claim, id) = (try claim(request), try linkID(context))
        return try await sealed(request) { directory throws(DirectoryError) in try await directory.answerOfLink(id, claim: claim) }
    }

    /// Without ids: not yet.
    @Sendable func linkApproval(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (claim, id) = (try claim(request), try linkID(context))
        let enrolled = try await directory { directory throws(DirectoryError) in try await directory.approvalOfLink(id, claim: claim) }
        return try request.reply(enrolled.map(Routes.enrolled) ?? Relay_V1_EnrolReply())
    }

    @Sendable func fetchLinkPart(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (claim, id, part) = (try claim(request), try linkID(context), try part(context))
        return try await sealed(request) { directory throws(DirectoryError) in try await directory.fetchLinkPart(id, part, claim: claim) }
    }

    @Sendable func leaveReceipt(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (claim, id) = (try claim(request), try linkID(context))
        let wire = try await request.decode(Relay_V1_LinkSealed.self, maxBytes: Limits.restBodyBytes)
        try await directory { directory throws(DirectoryError) in try directory.leaveReceipt(id, Array(wire.sealed), claim: claim) }
        return try request.reply(Relay_V1_LinkSealed())
    }

    @Sendable func linkedDevice(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try environment.limits.checkSignIn(from: context.address)
        let wire = try await request.decode(Relay_V1_LinkedDeviceRequest.self, maxBytes: Limits.restBodyBytes)
        let user: UserID = try Checked.id(wire.userID, "user_id")
        let enrolled = try await directory { directory throws(DirectoryError) in
            try await directory.linkedDevice(of: user, identityKey: Array(wire.identityKey), signature: Array(wire.signature))
        }
        return try request.reply(Routes.enrolled(enrolled))
    }

    // MARK: Either

    @Sendable func endLink(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try linkID(context)
        if let claim = try? claim(request) {
            try await directory { directory throws(DirectoryError) in try directory.endLink(id, claim: claim) }
        } else {
            let principal = try principal(request)
            try await directory { directory throws(DirectoryError) in try directory.endLink(id, principal) }
        }
        return try request.reply(Relay_V1_LinkSealed())
    }

    /// What one device left for the other; empty: not there yet.
    private func sealed(
        _ request: Request, _ call: (Directory) async throws(DirectoryError) -> [UInt8]?
    ) async throws -> Response {
        var reply = Relay_V1_LinkSealed()
        reply.sealed = Data(try await directory(call) ?? [])
        return try request.reply(reply)
    }

    /// `Authorization: Link CLAIM`.
    private func claim(_ request: Request) throws(WireFailure) -> [UInt8] {
        let values = request.headers[values: .authorization]
        let parts = values.count == 1 ? values[0].split(separator: " ") : []
        guard parts.count == 2, parts[0].lowercased() == "link", let claim = CrockfordBase32.decode(String(parts[1]), count: 16) else {
            throw WireFailure(.unauthorized, "a new device shows its claim: Authorization: Link CLAIM")
        }
        return claim
    }

    private func linkID(_ context: GatewayContext) throws(WireFailure) -> [UInt8] {
        guard let text = context.parameters.get("linkId"), let id = CrockfordBase32.decode(text, count: 16) else {
            throw .malformed("a link's id is 16 bytes in 26 characters of base 32")
        }
        return id
    }

    private func part(_ context: GatewayContext) throws(WireFailure) -> Int {
        guard let text = context.parameters.get("part"), let part = UInt32(text) else { throw .malformed("a part is a decimal number") }
        return Int(part)
    }

    private static func link(_ expires: Timestamp) -> Relay_V1_LinkReply {
        var reply = Relay_V1_LinkReply()
        reply.expiresAtMs = expires.milliseconds
        return reply
    }

    static func enrolled(_ enrolled: Enrolled) -> Relay_V1_EnrolReply {
        var reply = Relay_V1_EnrolReply()
        reply.userID = enrolled.user.rawValue
        reply.userName = enrolled.userName.text
        reply.deviceID = enrolled.device.rawValue
        return reply
    }
}
