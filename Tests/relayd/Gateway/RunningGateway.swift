import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import RelayCrypto
import RelayDirectory
import RelayHTTP
import RelayHostAssigner
import RelayMessageSending
import RelayModel
import RelayPresence
import RelayStorage
import RelayTestSupport
import RelayWire
import ServiceLifecycle
import SwiftProtobuf
import Testing

@testable import RelayGateway

/// A whole relay without its control socket: real store, real sockets, in this process.
final class RunningGateway: Sendable {
    let store: Store
    let directory: Directory
    let sending: MessageSending
    let port: Int
    let http: HTTPClient
    let clock: ManualWallClock

    private init(store: Store, directory: Directory, sending: MessageSending, port: Int, clock: ManualWallClock) {
        self.store = store
        self.directory = directory
        self.sending = sending
        self.port = port
        self.clock = clock
        http = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: port), group: MultiThreadedEventLoopGroup.singleton)
    }

    /// Who may write to whom, and who hears of it when somebody tries.
    struct Contacts: Sendable {
        var policy = ContactPolicy(everyone: true)
        var alerts: (any AlertSink)?
        static let asking = Contacts(policy: ContactPolicy())
    }

    /// Runs `body` against a gateway that listens on a free port of loopback; `stop` inside it stops the gateway gracefully.
    static func run(
        _ contacts: Contacts = Contacts(), linkWait: Duration = Limits.linkWait, _ change: (inout GatewaySettings) -> Void = { _ in },
        _ body: (RunningGateway, _ stop: @Sendable () async -> Void) async throws -> Void
    ) async throws {
        let folder = try TemporaryDirectory()
        let clock = ManualWallClock(SystemWallClock().now())
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let store = try Store(
            path: folder.file("relay.db"), clock: clock, onFailure: { Issue.record("the store failed: \($0)") })
        let presence = Presence(writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock())
        let sending = MessageSending(
            writer: store.writer, readers: store.readers, loops: Array(group.makeIterator()), alerts: contacts.alerts,
            onContacts: { presence.contacts($0) }, onOut: { presence.out($0) })
        var directorySettings = DirectorySettings(publicURL: "http://relay.test")
        directorySettings.linkWait = linkWait
        let directory = try await Directory(
            writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: directorySettings, revocations: sending)
        try await directory.apply(contacts.policy)
        var settings = GatewaySettings(host: "127.0.0.1", port: 0, version: "test", publicURL: "http://relay.test")
        settings.clock = clock
        settings.closeTimeout = .milliseconds(300)
        // However busy the machine is: a raw connection answers no pings.
        settings.pingInterval = .seconds(600)
        settings.requestHeadTimeout = .seconds(300)
        change(&settings)
        let (addresses, bound) = AsyncStream<SocketAddress>.makeStream()
        var logger = Logger(label: "gateway")
        logger.logLevel = .error
        let gateway = Gateway(
            settings: settings, directory: directory, sending: sending, presence: presence,
            assigner: HostAssigner(host: "here", url: "http://relay.test"), group: group, logger: logger, onBound: { bound.yield($0) })
        let services = ServiceGroup(services: [gateway], logger: logger)
        let running = Task { try await services.run() }
        guard let address = await addresses.first(where: { _ in true }), let port = address.port else { throw ChannelError.eof }
        let relay = RunningGateway(store: store, directory: directory, sending: sending, port: port, clock: clock)
        let result: Result<Void, any Error>
        do {
            result = .success(
                try await body(relay) {
                    await services.triggerGracefulShutdown()
                    _ = await running.result
                })
        } catch { result = .failure(error) }
        await relay.http.close()
        await services.triggerGracefulShutdown()
        try await running.value
        await store.close()
        try await group.shutdownGracefully()
        try result.get()
    }

    // MARK: REST

    struct Failure: Error { var status: Int, error: Relay_V1_Error }

    /// One request in JSON; throws ``Failure`` for an error reply.
    func call<Reply: Message>(_ method: HTTPMethod, _ path: String, _ body: (any Message)? = nil, token: String? = nil) async throws -> Reply {
        var headers = [("Content-Type", "application/json")]
        if let token { headers.append(("Authorization", "Bearer \(token)")) }
        let reply = try await http.request(method, path, headers: headers, body: try body.map { try $0.jsonUTF8Bytes() })
        guard (200..<300).contains(reply.status) else {
            throw Failure(status: reply.status, error: try Relay_V1_Error(jsonUTF8Bytes: reply.body))
        }
        return try Reply(jsonUTF8Bytes: reply.body)
    }

    struct Device {
        var user: UserID
        var id: DeviceID
        var secrets: DeviceSecrets
        var token: String
    }

    /// Adds a user through the directory and enrols a first device over REST.
    func addUser(_ name: String) async throws -> Device {
        let added = try await directory.addUser(
            name: name, displayName: nil, avatar: nil, inviteLifetime: nil, actor: Actor(uid: 0, operation: "user/add", subject: name))
        return try await enrol(added.invite.code)
    }

    /// Enrols a further device.
    func secondDevice(of name: String) async throws -> Device {
        try await enrol(try await directory.createInvite(user: name, lifetime: nil, actor: Actor(uid: 0, operation: "test", subject: name)).code)
    }

    func enrol(_ code: String) async throws -> Device {
        let secrets = DeviceSecrets.generate(SystemEntropy())
        let keys = secrets.publicKeys
        var request = Relay_V1_EnrolRequest()
        request.inviteCode = code
        request.deviceName = "phone"
        request.keys.identityKey = Data(keys.identityKey)
        request.keys.agreementKey = Data(keys.agreementKey)
        request.keys.agreementSignature = Data(keys.agreementSignature)
        let enrolled: Relay_V1_EnrolReply = try await call(.POST, "/v1/enrol", request)
        var device = Device(user: UserID(enrolled.userID), id: DeviceID(enrolled.deviceID), secrets: secrets, token: "")
        device.token = try await token(device)
        return device
    }

    func token(_ device: Device) async throws -> String {
        var ask = Relay_V1_ChallengeRequest()
        ask.deviceID = device.id.rawValue
        let challenge: Relay_V1_ChallengeReply = try await call(.POST, "/v1/auth/challenge", ask)
        var answer = Relay_V1_TokenRequest()
        answer.deviceID = device.id.rawValue
        answer.challenge = challenge.challenge
        answer.signature = Data(
            device.secrets.sign(Signing.authenticationMessage(device: device.id, challenge: Array(challenge.challenge))))
        let token: Relay_V1_TokenReply = try await call(.POST, "/v1/auth/token", answer)
        return token.token
    }

    func openChat(_ one: Device, _ other: Device) async throws -> Relay_V1_Chat {
        var request = Relay_V1_OpenChatRequest()
        request.userID = other.user.rawValue
        return try await call(.POST, "/v1/chats", request, token: one.token)
    }

    // MARK: WebSockets

    /// Opens a raw connection and upgrades it.
    func connect(_ device: Device, query: String = "", subprotocol: String? = "relay.v1.proto") async throws -> RawConnection {
        let connection = try await RawConnection.open(port: port)
        connection.send(text: Handshake(token: device.token, query: query, subprotocol: subprotocol).text)
        let head = try await connection.replyHead()
        guard head.status == 101 else { throw Failure(status: head.status, error: Relay_V1_Error()) }
        #expect(head.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(head.headers["sec-websocket-protocol"] == subprotocol)
        return connection
    }
}

/// The request of a WebSocket client, with places to make mistakes.
struct Handshake {
    var method = "GET"
    var path = "/v1/connect"
    var token: String?
    var query = ""
    var subprotocol: String?
    var version = "13"
    var upgrade = "websocket"
    var key = "dGhlIHNhbXBsZSBub25jZQ=="

    var text: String {
        var lines = ["\(method) \(path)\(query) HTTP/1.1", "Host: relay.test", "Upgrade: \(upgrade)", "Connection: keep-alive, Upgrade"]
        lines += ["Sec-WebSocket-Version: \(version)", "Sec-WebSocket-Key: \(key)"]
        if let token { lines.append("Authorization: Bearer \(token)") }
        if let subprotocol { lines.append("Sec-WebSocket-Protocol: \(subprotocol)") }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }
}
