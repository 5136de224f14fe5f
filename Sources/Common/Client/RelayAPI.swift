import FoundationEssentials
import NIOCore
import NIOHTTP1
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayTLS
import RelayWire
import SwiftProtobuf

/// The relay's REST interface with protobuf bodies. Any thread.
package struct RelayAPI: Sendable {
    private let http: HTTPClient

    package init(endpoint: Endpoint, group: any EventLoopGroup) { http = HTTPClient(endpoint: endpoint, group: group) }

    package func close() async { await http.close() }

    private static let mediaType = "application/x-protobuf"

    /// One request. A refusal of the relay is thrown as ``ClientError/refused(_:)``.
    func call<Reply: Message>(
        _ method: HTTPMethod, _ path: String, token: String? = nil, claim: String? = nil, basedOn: UInt64? = nil, body: (any Message)? = nil,
        as: Reply.Type = Reply.self
    ) async throws(ClientError) -> Reply {
        var headers = [("Accept", RelayAPI.mediaType)]
        if let basedOn { headers.append(("If-Match", "\"\(basedOn)\"")) }
        if let token { headers.append(("Authorization", "Bearer \(token)")) }
        if let claim { headers.append(("Authorization", "Link \(claim)")) }
        var bytes: [UInt8]?
        if let body {
            headers.append(("Content-Type", RelayAPI.mediaType))
            do { bytes = try body.serializedBytes() } catch { throw .protocolViolation("a request cannot be encoded: \(error)") }
        }
        let reply: HTTPReply
        do {
            reply = try await http.request(method, path, headers: headers, body: bytes)
        } catch {
            if case .tls(let failure) = error { throw .insecure(failure.description, hint: failure.hint) }
            throw .unreachable(error.description)
        }
        guard reply.status == 200 || reply.status == 201 else { throw RelayAPI.refusal(reply) }
        do {
            return try Reply(serializedBytes: reply.body)
        } catch {
            throw .protocolViolation("the reply to \(method.rawValue) \(RelayAPI.withoutNames(path)) cannot be decoded")
        }
    }

    /// A path as it may stand in an error: no query.
    private static func withoutNames(_ path: String) -> Substring { path.prefix { $0 != "?" } }

    /// The error that a reply carries; a reply that is none of relayd's becomes one from its status.
    static func refusal(_ reply: HTTPReply) -> ClientError {
        let type = reply.headers.first(name: "content-type") ?? ""
        var error = Relay_V1_Error()
        if type.hasPrefix("application/json") {
            error = (try? Relay_V1_Error(jsonUTF8Bytes: reply.body, options: lenient)) ?? error
        } else if type.hasPrefix(mediaType) {
            error = (try? Relay_V1_Error(serializedBytes: reply.body)) ?? error
        }
        guard !error.code.isEmpty else {
            return .refused(
                Refusal(code: "http_\(reply.status)", message: "the relay answered with HTTP status \(reply.status)", status: reply.status))
        }
        return .refused(Refusal(error, status: reply.status))
    }

    private static var lenient: JSONDecodingOptions {
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        return options
    }

    // MARK: Calls

    package func info() async throws(ClientError) -> Relay_V1_Info { try await call(.GET, "/v1/info") }

    package func enrol(code: String, deviceName: String, secrets: DeviceSecrets) async throws(ClientError) -> Relay_V1_EnrolReply {
        let published = secrets.publicKeys
        var request = Relay_V1_EnrolRequest()
        request.inviteCode = code
        request.deviceName = deviceName
        request.keys.identityKey = Data(published.identityKey)
        request.keys.agreementKey = Data(published.agreementKey)
        request.keys.agreementSignature = Data(published.agreementSignature)
        return try await call(.POST, "/v1/enrol", body: request)
    }

    /// Challenge, signature, token.
    package func token(device: DeviceID, secrets: DeviceSecrets) async throws(ClientError) -> Relay_V1_TokenReply {
        var ask = Relay_V1_ChallengeRequest()
        ask.deviceID = device.rawValue
        let challenge = try await call(.POST, "/v1/auth/challenge", body: ask, as: Relay_V1_ChallengeReply.self)
        var answer = Relay_V1_TokenRequest()
        answer.deviceID = device.rawValue
        answer.challenge = challenge.challenge
        answer.signature = Data(secrets.sign(Signing.authenticationMessage(device: device, challenge: Array(challenge.challenge))))
        return try await call(.POST, "/v1/auth/token", body: answer)
    }

    /// Publishes another agreement key. To repeat it is harmless: the relay says how it has it.
    package func replaceAgreementKey(
        of device: DeviceID, with key: [UInt8], signature: [UInt8], grace: Duration, token: String
    ) async throws(ClientError) -> Relay_V1_KeysState {
        var upload = Relay_V1_KeysUpload()
        upload.agreementKey = Data(key)
        upload.agreementSignature = Data(signature)
        upload.graceSeconds = UInt32(clamping: grace.components.seconds)
        return try await call(.PUT, "/v1/devices/\(device)/keys", token: token, body: upload)
    }

    package func user(named name: String, token: String) async throws(ClientError) -> Relay_V1_User {
        try await call(.GET, "/v1/users?name=\(percentEncoded(name))", token: token)
    }

    package func user(_ id: UserID, token: String) async throws(ClientError) -> Relay_V1_User {
        try await call(.GET, "/v1/users/\(id)", token: token)
    }

    /// A device's keys, also when it was revoked.
    package func device(_ id: DeviceID, token: String) async throws(ClientError) -> Relay_V1_Device {
        try await call(.GET, "/v1/devices/\(id)", token: token)
    }

    package func openChat(with user: UserID, token: String) async throws(ClientError) -> Relay_V1_Chat {
        var request = Relay_V1_OpenChatRequest()
        request.userID = user.rawValue
        return try await call(.POST, "/v1/chats", token: token, body: request)
    }

    package func chat(_ chat: ChatID, token: String) async throws(ClientError) -> Relay_V1_Chat {
        try await call(.GET, "/v1/chats/\(chat)", token: token)
    }

    package func conversations(after: UInt64 = 0, token: String) async throws(ClientError) -> Relay_V1_ConversationsPage {
        try await call(.GET, after > 0 ? "/v1/chats?after=\(after)" : "/v1/chats", token: token)
    }

    package func messages(
        in chat: ChatID, after: UInt64? = nil, before: UInt64? = nil, pageSize: Int = Limits.pageSize, token: String
    ) async throws(ClientError) -> Relay_V1_MessagesPage {
        var path = "/v1/chats/\(chat)/messages?pageSize=\(pageSize)"
        if let after { path += "&after=\(after)" }
        if let before { path += "&before=\(before)" }
        return try await call(.GET, path, token: token)
    }

    package func receipts(in chat: ChatID, token: String) async throws(ClientError) -> Relay_V1_Receipts {
        try await call(.GET, "/v1/chats/\(chat)/receipts", token: token)
    }

    package func status(of clientMessageID: UInt64, in chat: ChatID, token: String) async throws(ClientError) -> Relay_V1_MessageStatus {
        try await call(.GET, "/v1/chats/\(chat)/messages/\(clientMessageID)/status", token: token)
    }

    /// A page of the user's contacts, in the order of their versions.
    /// - Parameters:
    ///   - since: only what changed behind this version; 0: all.
    ///   - after: where the page begins, as `next` of the page before said.
    package func contacts(of user: UserID, since: UInt64, after: UInt64, token: String) async throws(ClientError) -> Relay_V1_ContactsPage {
        try await call(.GET, "/v1/connection/user/\(user)?since=\(since)&after=\(after)&pageSize=\(Limits.contactsPage)", token: token)
    }

    /// Does what the user decided about another one.
    /// - Parameters:
    ///   - action: nil: the label alone.
    ///   - basedOn: the version of the contact that the decision was made on.
    package func decide(
        _ action: ContactAction?, of user: UserID, about peer: UserID, category: String?, basedOn: UInt64, token: String
    ) async throws(ClientError) -> RelayContact {
        let path = "/v1/connection/user/\(user)/recipient/\(peer)"
        let (method, ending): (HTTPMethod, String) =
            switch action {
            case .request: (.POST, "")
            case .accept: (.PUT, "/request/true")
            case .ignore: (.PUT, "/request/false")
            case .block: (.PUT, "/block/true")
            case .unblock: (.PUT, "/block/false")
            case .delete: (.DELETE, "")
            // An introduction is the operator's.
            case .introduce, nil: (.PUT, "")
            }
        var body: Relay_V1_ContactRequest?
        if let category {
            body = Relay_V1_ContactRequest()
            body?.category = category
        }
        let reply = try await call(method, path + ending, token: token, basedOn: basedOn, body: body, as: Relay_V1_Contact.self)
        guard reply.userID == peer.rawValue else { throw .protocolViolation("the reply to a decision about a contact is about another user") }
        return RelayContact(reply)
    }

    /// Everything but the unreserved characters of RFC 3986 as %XX.
    private func percentEncoded(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                encoded.unicodeScalars.append(UnicodeScalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                encoded += hex.utf8.count == 1 ? "%0\(hex)" : "%\(hex)"
            }
        }
        return encoded
    }
}

extension Refusal {
    init(_ error: Relay_V1_Error, status: Int) {
        self.init(
            code: error.code, message: error.message, hint: error.hint, status: status,
            retryAfter: error.retryAfterMs > 0 ? .milliseconds(Int64(error.retryAfterMs)) : nil, highestClientMessageID: error.highestClientMessageID,
            contact: error.hasContact ? RelayContact(error.contact) : nil)
    }
}

extension RelayContact {
    init(_ wire: Relay_V1_Contact) {
        self.init(
            user: UserID(wire.userID), state: ContactState(rawValue: UInt8(clamping: wire.state.rawValue)) ?? .none, category: wire.category,
            version: wire.version)
    }
}
