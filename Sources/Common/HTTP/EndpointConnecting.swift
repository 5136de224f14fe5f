import NIOCore
import NIOPosix
import RelayTLS

extension Endpoint {
    /// Connects. With TLS, its handler is the first of the pipeline, and the handshake may still go on when the future is there: a certificate
    /// that cannot be trusted is an error that the handler fires.
    /// - Parameter configure: sets up the pipeline behind it.
    func connect(
        on loop: any EventLoop, timeout: TimeAmount, _ configure: @escaping @Sendable (any Channel) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        let client: TLSClient?
        do { client = try tls() } catch { return loop.makeFailedFuture(error) }
        let endpoint = self
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(timeout).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                if let client, case .tls(let host, let port, _) = endpoint {
                    guard let handler = client.handler(to: host, port: port, on: channel.eventLoop) else {
                        throw TLSIdentityError.library("no memory")
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
                try configure(channel)
            }
        }
        switch self {
        case .tcp(let host, let port), .tls(let host, let port, _):
            return bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host, port: port)
        case .unix(let path): return bootstrap.connect(unixDomainSocketPath: path)
        }
    }

    private func tls() throws(TLSIdentityError) -> TLSClient? {
        guard case .tls(_, _, let trust) = self else { return nil }
        return try TLSClient.shared(for: trust)
    }
}
