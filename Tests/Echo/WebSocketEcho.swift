import Foundation
import NIOCore
import NIOPosix
import RelayHTTP
import RelayModel
import RelayTLS

/// `websocket-echo PORT`: sends every WebSocket message back, through the parser and the frame writer of the gateway. For conformance
/// suites; CONTRIBUTING.md says how. It listens on the loopback interface until it is killed; port 0 takes a free one and prints it.
@main enum WebSocketEcho {
    /// The largest messages of the Autobahn suite have 16 MB.
    static let maxMessageBytes = 16 * 1024 * 1024

    static func main() async throws {
        guard CommandLine.arguments.count == 2, let port = Int(CommandLine.arguments[1]) else {
            FileHandle.standardError.write(Data("usage: websocket-echo PORT\n".utf8))
            exit(64)
        }
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(EchoHandler()) }
            }
            .bind(host: "127.0.0.1", port: port).get()
        print("ws://127.0.0.1:\(server.localAddress?.port ?? port)")
        fflush(nil)
        try await server.closeFuture.get()
    }
}
