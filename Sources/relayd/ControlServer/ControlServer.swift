import FoundationEssentials
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import RelayBackup
import RelayControl
import RelayDirectory
import RelayListening
import RelayMessageSending
import RelayMetrics
import RelayModel
import RelayPresence
import RelayRetention
import RelayStorage
import RelayTelemetry
import Synchronization

/// What the control server needs to know about its surroundings.
package struct ControlServerSettings: Sendable {
    /// Path of the Unix socket.
    package var socket: String
    /// Listens already there; nil: the server makes the socket.
    package var inherited: Int32?
    package var access: AccessPolicy
    package var startedAt: Timestamp
    /// Where clients connect, for `status`.
    package var listening: [String]
    package var publicURL: String
    /// Nil: relayd runs on defaults.
    package var configurationPath: String?
    /// Addresses of the relay itself, `host:port`.
    package var addresses: [String] = []
    /// Nil: nobody can ask for it.
    package var configuration: (any ConfigurationReport)?
    package var phase: @Sendable () -> DaemonPhase = { .serving }
    /// The folder of backups.
    package var backups: String
    package init(socket: String, access: AccessPolicy, startedAt: Timestamp, listening: [String], publicURL: String, backups: String) {
        self.backups = backups
        self.socket = socket
        self.access = access
        self.startedAt = startedAt
        self.listening = listening
        self.publicURL = publicURL
    }
}

/// The operator protocol on a Unix socket. Who may call what is decided by the credentials that the kernel notes for a connection.
package struct ControlServer: Sendable {
    private let settings: ControlServerSettings
    private let operations: Operations
    private let metrics: PublishedMetrics
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable () async -> Void

    /// - Parameter onListening: called once when operators can connect.
    package init(
        settings: ControlServerSettings, store: Store, directory: Directory, sending: MessageSending, presence: Presence, retention: Retention,
        alerts: Alerts, metrics: PublishedMetrics, ledger: PrivacyLedger, clock: any WallClock, group: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable () async -> Void = {}
    ) {
        self.settings = settings
        self.group = group
        self.logger = logger
        self.onListening = onListening
        self.metrics = metrics
        operations = Operations(
            store: store, directory: directory, sending: sending, presence: presence, retention: retention, alerts: alerts, metrics: metrics,
            ledger: ledger, settings: settings, clock: clock,
            logger: logger, backups: Backups(folder: BackupFolder(path: settings.backups, clock: clock), store: store.path))
    }

    /// Serves until the service group shuts down. Throws ``SocketFileError`` when the socket cannot be made.
    package func run() async throws {
        if settings.inherited == nil { try SocketFile.prepare(settings.socket) }
        let failure = Mutex<SocketFileError?>(nil)
        let socket = settings.socket
        // Hummingbird's own lines say nothing that ours do not.
        var quiet = logger
        quiet.logLevel = .error
        let responder = CallbackResponder<ControlContext> { request, context in await respond(to: request, context) }
        let listener = HTTPListener(
            settings.inherited.map(ListeningPlace.inherited) ?? .unixSocket(path: socket), connections: Limits.controlConnections, group: group,
            logger: quiet)
        let channel = HTTP1Channel(
            responder: responder.answering(serverName: "relayd", logger: quiet),
            configuration: .init(idleTimeout: TimeAmount(Limits.idleHTTPTimeout)))
        do {
            try await listener.run(channel) { [isOwn = settings.inherited == nil] channel in
                do throws(SocketFileError) {
                    if isOwn { try SocketFile.open(socket) }
                    await onListening()
                } catch {
                    failure.withLock { $0 = error }
                    try? await channel.close()  // Fails only when it is closed already.
                }
            }
        } catch {
            await operations.backups.stop()
            if let why = failure.withLock({ $0 }) { throw why }
            throw error
        }
        await operations.backups.stop()
        // Whoever made it keeps it.
        if settings.inherited == nil { unlink(socket) }
        if let why = failure.withLock({ $0 }) { throw why }
    }

    private func respond(to request: Request, _ context: ControlContext) async -> Response {
        do throws(ControlError) {
            return try await answer(request, context)
        } catch {
            let body = (try? ReplyEncoding.bytes(error)) ?? []
            return Self.response(HTTPResponse.Status(code: error.code.httpStatus), body)
        }
    }

    private func answer(_ request: Request, _ context: ControlContext) async throws(ControlError) -> Response {
        let peer: PeerCredentials
        let access: ControlAccess?
        do {
            peer = try await PeerCredentials.of(context.channel)
            access = try await NIOThreadPool.singleton.runIfActive { settings.access.access(of: peer) }
        } catch {
            throw ControlError(.notPermitted, "relayd cannot find out who is calling", hint: "journalctl -u relayd says why")
        }
        let name = request.uri.path.hasPrefix("/v1/") ? ControlOperationName(rawValue: String(request.uri.path.dropFirst("/v1/".count))) : nil
        guard let access else {
            if let name, name.isAudited { await operations.writeDown(refused: name, peer) }
            throw refusal("you (user \(peer.uid)) may not operate this relay", needs: .view)
        }
        if request.uri.path == Self.metricsPath {
            guard request.method == .get else {
                throw ControlError(.badRequest, "\(Self.metricsPath) does not answer \(request.method.rawValue)", hint: "use GET")
            }
            return metrics.response
        }
        guard let name else {
            throw ControlError(
                .notFound, "there is no operation at \(request.uri.path)",
                hint: "the operations are: " + ControlOperationName.allCases.map { "/v1/" + $0.path }.joined(separator: ", ") + ", "
                    + Self.metricsPath)
        }
        guard access >= name.access else {
            if name.isAudited { await operations.writeDown(refused: name, peer) }
            throw refusal("you (user \(peer.uid)) may only look, and \(name.path) changes something", needs: .admin)
        }
        guard request.method == .post || (request.method == .get && name.access == .view) else {
            throw ControlError(
                .badRequest, "\(name.path) does not answer \(request.method.rawValue)",
                hint: name.access == .view ? "use GET or POST" : "use POST with a JSON object")
        }
        let body: ByteBuffer
        do {
            body = try await request.body.collect(upTo: Limits.controlBodyBytes)
        } catch {
            throw ControlError(.badRequest, "the request's body cannot be read or is larger than \(Limits.controlBodyBytes) bytes")
        }
        return Self.response(.ok, try await operations.serve(name, body: body, peer: peer, access: access))
    }

    /// The metrics as Prometheus reads them.
    private static let metricsPath = "/v1/metrics"

    private func refusal(_ message: String, needs: ControlAccess) -> ControlError {
        let groups = needs == .view ? "\(settings.access.adminGroup) (to read only: \(settings.access.viewGroup))" : settings.access.adminGroup
        return ControlError(
            .notPermitted, message,
            hint: "use sudo, or become a member of the group \(groups) and log in again: adduser NAME \(settings.access.adminGroup)")
    }

    private static func response(_ status: HTTPResponse.Status, _ body: [UInt8]) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"], body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }
}

/// One request with the connection it came on.
private struct ControlContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
}
