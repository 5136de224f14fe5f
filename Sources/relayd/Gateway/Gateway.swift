import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import RelayDirectory
import RelayHostAssigner
import RelayListening
import RelayMessageSending
import RelayMetrics
import RelayPresence
import RelayWire
import ServiceLifecycle

/// The door for clients: REST and WebSockets on one port.
///
/// A service: ``run()`` listens until it is told to stop gracefully; then it accepts nobody, closes every WebSocket with 1012
/// `restarting`, lets the requests under way end, and returns.
package final class Gateway: Service {
    private let environment: GatewayEnvironment
    private let assigner: HostAssigner
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onBound: @Sendable (SocketAddress) -> Void

    /// - Parameters:
    ///   - group: the event loops; `sending` must have been given all of them.
    ///   - onBound: called once with the address that the gateway listens on, from the moment on that it accepts connections.
    package init(
        settings: GatewaySettings, directory: Directory, sending: MessageSending, presence: Presence, assigner: HostAssigner,
        group: any EventLoopGroup, logger: Logger,
        onBound: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        environment = GatewayEnvironment(
            settings: settings, directory: directory, sending: sending, presence: presence,
            open: OpenConnections(httpLimit: settings.httpConnections, logger: logger),
            limits: GatewayLimits(
                settings.rates, clock: settings.monotonicClock, directory: directory, alerts: settings.alerts, metrics: settings.metrics),
            loops: Array(group.makeIterator()))
        self.assigner = assigner
        self.group = group
        self.logger = logger
        self.onBound = onBound
    }

    /// Connections that speak HTTP, or nothing yet. Any thread.
    package var httpConnections: Int { environment.open.http }
    /// Any thread.
    package var webSockets: Int { environment.open.webSockets }

    /// What a client gets, in the clear, that speaks plain HTTP where TLS is spoken.
    package static func answerToPlainHTTP() -> ByteBuffer {
        let failure = WireFailure(.malformed, "this port speaks TLS: the address begins with https:// or wss://")
        let body = (try? WireEncoding.json.encode(failure.wire)) ?? ByteBuffer()
        var answer = ByteBuffer(
            string: "HTTP/1.1 \(failure.code.httpStatus) Bad Request\r\nContent-Type: \(WireEncoding.json.mediaType)\r\n"
                + "Content-Length: \(body.readableBytes)\r\nConnection: close\r\n\r\n")
        answer.writeImmutableBuffer(body)
        return answer
    }

    /// Changes the limits for running and new connections. Any thread.
    package func apply(_ rates: RateLimits) { environment.limits.rates.apply(rates) }

    /// Throws when it cannot listen.
    package func run() async throws {
        let environment = environment
        let onBound = onBound
        let complaints = ProxyComplaints(logger)
        let routes = Routes(environment: environment, assigner: assigner)
        let channel = GatewayChannel(
            responder: routes.router().buildResponder().answering(logger: logger), environment: environment, complaints: complaints)
        let listener = HTTPListener(environment.settings.place, connections: environment.settings.connections, group: group, logger: logger)
        // Requests that wait for another device would hold the stop up.
        try await withGracefulShutdownHandler {
            try await listener.run(channel) { channel in
                // Like a port of loopback: who may connect is a matter of the directory.
                if case .unixSocket(let path) = environment.settings.place { chmod(path, 0o666) }
                if let address = channel.localAddress { onBound(address) }
            }
        } onGracefulShutdown: {
            environment.directory.stopLinks()
        }
        // Bounded by the close time-out of each connection.
        await environment.open.drained()
    }
}
