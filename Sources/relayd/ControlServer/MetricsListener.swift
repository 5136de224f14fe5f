import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import RelayListening
import RelayMetrics
import RelayModel

/// `GET /metrics` on an address of this host, for a Prometheus that cannot use the control socket. Whoever can connect can read: its address
/// must be a loopback one.
package struct MetricsListener: Sendable {
    private let host: String
    private let port: Int
    private let metrics: PublishedMetrics
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable () async -> Void

    /// - Parameters:
    ///   - port: 0: the system chooses one.
    ///   - onListening: called once when somebody can connect.
    package init(
        host: String, port: Int, metrics: PublishedMetrics, group: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable () async -> Void = {}
    ) {
        self.host = host
        self.port = port
        self.metrics = metrics
        self.group = group
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until the service group shuts down. Throws when it cannot listen.
    package func run() async throws {
        var quiet = logger
        quiet.logLevel = .error
        let responder = CallbackResponder<BasicRequestContext> { request, _ in respond(to: request) }
        let channel = HTTP1Channel(
            responder: responder.answering(serverName: "relayd", logger: quiet),
            configuration: .init(idleTimeout: TimeAmount(Limits.idleHTTPTimeout)))
        let listener = HTTPListener(.address(host: host, port: port), connections: Limits.metricConnections, group: group, logger: quiet)
        try await listener.run(channel) { _ in await onListening() }
    }

    private func respond(to request: Request) -> Response {
        func refusal(_ status: HTTPResponse.Status, _ text: String) -> Response {
            Response(
                status: status, headers: [.contentType: "text/plain; charset=utf-8"], body: .init(byteBuffer: ByteBuffer(string: text + "\n")))
        }
        guard request.uri.path == "/metrics" else { return refusal(.notFound, "there is only /metrics") }
        guard request.method == .get else { return refusal(.methodNotAllowed, "use GET") }
        return metrics.response
    }
}

extension PublishedMetrics {
    var response: Response {
        Response(
            status: .ok, headers: [.contentType: PrometheusText.mediaType, .cacheControl: "no-store"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }
}
