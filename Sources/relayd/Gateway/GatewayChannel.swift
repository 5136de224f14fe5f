import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import RelayModel
import RelayTLS

/// Sets up each accepted connection: HTTP for Hummingbird until the ``UpgradeSniffer`` turns it into a WebSocket. No task stays behind
/// for an upgraded connection.
struct GatewayChannel: ServerChildChannel, HTTPChannelHandler {
    enum Negotiated: Sendable {
        /// With the address that limits count, where it is not the socket's.
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>, from: NetworkAddress?)
        case webSocket
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let negotiated: EventLoopFuture<Negotiated>
    }

    let responder: HTTPChannelHandler.Responder
    let environment: GatewayEnvironment
    let complaints: ProxyComplaints

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            try TransientReceiveAllocator.install(on: channel)
            // Fails on a Unix socket, where there is nothing to delay.
            try? channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            let promise = channel.eventLoop.makePromise(of: Negotiated.self)
            let settings = environment.settings
            if settings.proxies.trusts(channel.remoteAddress) {
                let handler = ProxyHeaderHandler(timeout: settings.proxyHeaderTimeout, complaints) { result in
                    do {
                        try build(on: channel, from: try result.get(), promise, logger)
                    } catch {
                        promise.fail(error)
                        throw error
                    }
                }
                try channel.pipeline.syncOperations.addHandler(handler)
            } else {
                try build(on: channel, from: nil, promise, logger)
            }
            return Value(channel: channel, negotiated: promise.futureResult)
        }
    }

    /// - Parameter forwarded: whom a proxy speaks for; nil for the socket's own peer.
    private func build(
        on channel: any Channel, from forwarded: SocketAddress?, _ promise: EventLoopPromise<Negotiated>, _ logger: Logger
    ) throws {
        let settings = environment.settings
        let secure = settings.tls != nil
        let idle = settings.idleHTTPTimeout
        let counted = NetworkAddress(forwarded)
        let sniffer = UpgradeSniffer(environment, promise, address: forwarded ?? channel.remoteAddress) { channel in
            let operations = channel.pipeline.syncOperations
            try operations.addHandler(HTTP1ToHTTPServerCodec(secure: secure))
            try operations.addHandler(HTTPConnectionStateHandler(idleTimeout: idle, logger: logger))
            return .http(
                try NIOAsyncChannel(wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true)), from: counted)
        }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = Limits.headerFieldBytes
        limits.maxHeaderListSize = Limits.headerBytes
        limits.maxHeaderFieldCount = Limits.headerFields
        let operations = channel.pipeline.syncOperations
        if let tls = settings.tls {
            guard let handler = tls.handler(on: channel.eventLoop, timeout: settings.tlsHandshakeTimeout) else {
                throw ChannelError.ioOnClosedChannel
            }
            try operations.addHandler(handler)
        }
        try operations.addHandlers([
            HTTPResponseEncoder(),
            ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)),
        ])
        try operations.addHandler(sniffer)
    }

    func handle(value: Value, logger: Logger) async {
        // A connection that ended before its first request is nobody's concern.
        guard case .http(let channel, let address)? = try? await value.negotiated.get() else { return }
        guard let address else { return await handleHTTP(asyncChannel: channel, logger: logger) }
        await ForwardedAddress.$current.withValue(address) { await handleHTTP(asyncChannel: channel, logger: logger) }
    }
}
