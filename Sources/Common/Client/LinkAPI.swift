import FoundationEssentials
import NIOCore
import NIOHTTP1
import RelayCrypto
import RelayModel
import RelayWire

/// The paths of one link. One side of it at a time, because requests wait for the other side. Any thread.
struct LinkAPI: Sendable {
    private let api: RelayAPI
    private let path: String
    private let id: [UInt8]

    init(api: RelayAPI, id: [UInt8]) {
        self.api = api
        self.id = id
        path = "/v1/links/" + CrockfordBase32.encode(id, group: .max)
    }

    func close() async { await api.close() }

    /// A new device's word that it is the same as before.
    static func claim(_ bytes: [UInt8]) -> String { CrockfordBase32.encode(bytes, group: .max) }

    private static func sealed(_ bytes: [UInt8]) -> Relay_V1_LinkSealed {
        var wire = Relay_V1_LinkSealed()
        wire.sealed = Data(bytes)
        return wire
    }

    // MARK: The old device

    func open(token: String) async throws(ClientError) -> Timestamp {
        var request = Relay_V1_LinkRequest()
        request.linkID = Data(id)
        return Timestamp(milliseconds: try await api.call(.POST, "/v1/links", token: token, body: request, as: Relay_V1_LinkReply.self).expiresAtMs)
    }

    /// Nil: not yet.
    func hello(token: String) async throws(ClientError) -> [UInt8]? { try await read("/hello", token: token) }

    func answer(_ bytes: [UInt8], token: String) async throws(ClientError) {
        _ = try await api.call(.PUT, path + "/answer", token: token, body: LinkAPI.sealed(bytes), as: Relay_V1_LinkSealed.self)
    }

    func approve(_ hello: LinkHandshake.Hello, token: String) async throws(ClientError) -> DeviceID {
        var request = Relay_V1_LinkApproval()
        request.deviceName = hello.deviceName
        request.keys.identityKey = Data(hello.identityKey)
        request.keys.agreementKey = Data(hello.agreementKey)
        request.keys.agreementSignature = Data(hello.agreementSignature)
        return DeviceID(try await api.call(.POST, path + "/approval", token: token, body: request, as: Relay_V1_EnrolReply.self).deviceID)
    }

    /// The part that is taken next.
    func leave(_ part: [UInt8], _ number: Int, token: String) async throws(ClientError) -> Int {
        Int(try await api.call(.PUT, path + "/parts/\(number)", token: token, body: LinkAPI.sealed(part), as: Relay_V1_LinkProgress.self).nextPart)
    }

    func receipt(token: String) async throws(ClientError) -> [UInt8]? { try await read("/receipt", token: token) }

    func end(token: String? = nil, claim: String? = nil) async throws(ClientError) {
        _ = try await api.call(.DELETE, path, token: token, claim: claim, as: Relay_V1_LinkSealed.self)
    }

    // MARK: The new device

    /// - Returns: true when this device said hello before.
    func say(hello: [UInt8], claim: String) async throws(ClientError) -> Bool {
        try await api.call(.POST, path + "/hello", claim: claim, body: LinkAPI.sealed(hello), as: Relay_V1_LinkReply.self).resumed
    }

    func answer(claim: String) async throws(ClientError) -> [UInt8]? { try await read("/answer", claim: claim) }

    func approval(claim: String) async throws(ClientError) -> Relay_V1_EnrolReply? {
        let reply = try await api.call(.GET, path + "/approval", claim: claim, as: Relay_V1_EnrolReply.self)
        return reply.deviceID > 0 ? reply : nil
    }

    func part(_ number: Int, claim: String) async throws(ClientError) -> [UInt8]? { try await read("/parts/\(number)", claim: claim) }

    func leave(receipt: [UInt8], claim: String) async throws(ClientError) {
        _ = try await api.call(.POST, path + "/receipt", claim: claim, body: LinkAPI.sealed(receipt), as: Relay_V1_LinkSealed.self)
    }

    /// Whether this device was added; nil when it was not.
    func device(of user: UserID, secrets: DeviceSecrets) async throws(ClientError) -> Relay_V1_EnrolReply? {
        var request = Relay_V1_LinkedDeviceRequest()
        request.userID = user.rawValue
        request.identityKey = Data(secrets.identityKey)
        request.signature = Data(secrets.sign(Signing.linkedMessage(user: user)))
        do throws(ClientError) { return try await api.call(.POST, "/v1/links/device", body: request, as: Relay_V1_EnrolReply.self) } catch {
            if case .refused(let refusal) = error, refusal.code == "link_unknown" { return nil }
            throw error
        }
    }

    private func read(_ rest: String, token: String? = nil, claim: String? = nil) async throws(ClientError) -> [UInt8]? {
        let bytes = Array(try await api.call(.GET, path + rest, token: token, claim: claim, as: Relay_V1_LinkSealed.self).sealed)
        return bytes.isEmpty ? nil : bytes
    }
}

/// Asks again when a request got lost or the relay had no time, with growing waits; the relay takes every step of a link twice.
enum LinkPatience {
    static func asking<Answer>(_ ask: () async throws(ClientError) -> Answer) async throws(ClientError) -> Answer {
        var backoff = Backoff()
        var random = SystemRandomNumberGenerator()
        while true {
            do throws(ClientError) { return try await ask() } catch {
                let wait: Duration? =
                    switch error {
                    case .unreachable: .zero
                    case .refused(let refusal) where refusal.isTemporary && refusal.code != "user_suspended": refusal.retryAfter ?? .zero
                    default: nil
                    }
                guard let wait, backoff.failures < Limits.clientLinkRetries else { throw error }
                do { try await Task.sleep(for: max(wait, backoff.next(using: &random))) } catch { throw .stopped }
            }
        }
    }

    /// Until there is something: the relay answers after some time that there is nothing yet.
    static func waiting<Answer>(_ ask: () async throws(ClientError) -> Answer?) async throws(ClientError) -> Answer {
        while true {
            if let answer = try await asking(ask) { return answer }
        }
    }
}
