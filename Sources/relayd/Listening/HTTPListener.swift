import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import RelayModel
import ServiceLifecycle

/// Where a server listens.
package enum ListeningPlace: Sendable, Equatable {
    /// Port 0: the system chooses one.
    case address(host: String, port: Int)
    /// A stale socket file in the way is replaced.
    case unixSocket(path: String)
    /// A descriptor on which somebody else, systemd, listens already. It is closed at the end; whoever made it goes on listening.
    case inherited(Int32)
}

/// Listens, and serves every connection until it is told to stop gracefully: then it accepts nobody, tells its connections, and returns when the
/// last one has ended. Hummingbird's own server cannot take a socket that is listening already.
package struct HTTPListener: Sendable {
    private let place: ListeningPlace
    private let connections: Int
    private let group: any EventLoopGroup
    private let logger: Logger

    /// - Parameter connections: further ones wait in the kernel until one ends.
    package init(_ place: ListeningPlace, connections: Int, group: any EventLoopGroup, logger: Logger) {
        self.place = place
        self.connections = connections
        self.group = group
        self.logger = logger
    }

    /// Throws when it cannot listen.
    /// - Parameters:
    ///   - child: sets up and serves each connection.
    ///   - onListening: called once with the listening channel, when connections are accepted.
    package func run<Child: ServerChildChannel>(_ child: Child, onListening: @escaping @Sendable (any Channel) async -> Void) async throws {
        let accepted = AcceptedConnections(limit: connections)
        let server = try await listen(child, accepted)
        let logger = logger
        await withGracefulShutdownHandler {
            await onListening(server.channel)
            await withDiscardingTaskGroup { tasks in
                do {
                    try await server.executeThenClose { connections in
                        for try await connection in connections {
                            tasks.addTask { await child.handle(value: connection, logger: logger) }
                        }
                    }
                } catch {
                    logger.error("no connection can be accepted any more", metadata: ["error": "\(error)"])
                }
            }
        } onGracefulShutdown: {
            let loop = server.channel.eventLoop
            loop.execute { accepted.end(on: loop) }
        }
    }

    private func listen<Child: ServerChildChannel>(
        _ child: Child, _ accepted: AcceptedConnections
    ) async throws -> NIOAsyncChannel<Child.Value, Never> {
        let logger = logger
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Limits.listenBacklog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(accepted) }
            }
        let setUp: @Sendable (any Channel) -> EventLoopFuture<Child.Value> = { channel in
            child.setup(channel: channel, logger: logger).always { _ in channel.parent?.eventLoop.execute { accepted.setUp(channel) } }
        }
        switch place {
        case .address(let host, let port): return try await bootstrap.bind(host: host, port: port, childChannelInitializer: setUp)
        case .unixSocket(let path):
            return try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true, childChannelInitializer: setUp)
        case .inherited(let descriptor): return try await bootstrap.bind(descriptor, childChannelInitializer: setUp)
        }
    }
}

extension HTTPResponder where Context: InitializableFromSource<ApplicationRequestContextSource> {
    /// This responder as a connection calls it: with the headers that every answer has.
    /// - Parameter logger: what a request's context gets.
    package func answering(serverName: String? = nil, logger: Logger) -> HTTPChannelHandler.Responder {
        let date = HTTPDate()
        return { request, writer, channel in
            var response: Response
            do {
                response = try await self.respond(to: request, context: Context(source: .init(channel: channel, logger: logger)))
            } catch let error as HTTPParserError {
                // The connection answers that itself.
                throw error
            } catch {
                response = Response(status: .internalServerError)
            }
            response.headers[.date] = date.now
            if let serverName { response.headers[.server] = serverName }
            do {
                try await writer.write(response: response.head, body: response.body)
            } catch is HTTPParserError {
                // A second answer must not follow.
                throw AnswerCutShort()
            }
        }
    }
}

/// The rest of a request was no HTTP, when its answer had begun.
private struct AnswerCutShort: Error {}
