import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import RelayModel

/// Sets up each accepted connection: HTTP for Hummingbird until the ``UpgradeSniffer`` turns it into a WebSocket. No task stays behind
/// for an upgraded connection.
struct GatewayChannel: ServerChildChannel, HTTPChannelHandler {
    enum Negotiated: Sendable {
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>)
        case webSocket
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let negotiated: EventLoopFuture<Negotiated>
    }

    let responder: HTTPChannelHandler.Responder
    let environment: GatewayEnvironment

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            try TransientReceiveAllocator.install(on: channel)
            // Fails on a Unix socket, where there is nothing to delay.
            try? channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            let idle = environment.settings.idleHTTPTimeout
            let promise = channel.eventLoop.makePromise(of: Negotiated.self)
            let sniffer = UpgradeSniffer(environment, promise) { channel in
                let operations = channel.pipeline.syncOperations
                try operations.addHandler(HTTP1ToHTTPServerCodec(secure: false))
                try operations.addHandler(HTTPConnectionStateHandler(idleTimeout: idle, logger: logger))
                return .http(
                    try NIOAsyncChannel(wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true)))
            }
            var limits = NIOHTTPDecoderLimitConfiguration()
            limits.maxHeaderFieldSize = Limits.headerFieldBytes
            limits.maxHeaderListSize = Limits.headerBytes
            limits.maxHeaderFieldCount = Limits.headerFields
            let operations = channel.pipeline.syncOperations
            try operations.addHandlers([
                HTTPResponseEncoder(),
                ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)),
            ])
            try operations.addHandler(sniffer)
            return Value(channel: channel, negotiated: promise.futureResult)
        }
    }

    func handle(value: Value, logger: Logger) async {
        // A connection that ended before its first request is nobody's concern.
        guard case .http(let channel)? = try? await value.negotiated.get() else { return }
        await handleHTTP(asyncChannel: channel, logger: logger)
    }
}
