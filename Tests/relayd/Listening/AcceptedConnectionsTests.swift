import NIOCore
import NIOEmbedded
import Testing

@testable import RelayListening

@Suite struct AcceptedConnectionsTests {
    /// Counts what reaches the socket.
    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = Never
        var count = 0
        func read(context: ChannelHandlerContext) { count += 1 }
    }

    /// Notes that its connection was told.
    private final class Told: ChannelInboundHandler {
        typealias InboundIn = Never
        var count = 0
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) { if event is ChannelShouldQuiesceEvent { count += 1 } }
    }

    private let loop = EmbeddedEventLoop()

    private func server(_ connections: AcceptedConnections) throws -> (EmbeddedChannel, Reads) {
        let reads = Reads()
        let channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandlers([reads, connections])
        return (channel, reads)
    }

    @Test func furtherOnesWaitUntilOneEnds() throws {
        let (server, reads) = try server(AcceptedConnections(limit: 2))
        let accepted = (0..<2).map { _ in EmbeddedChannel(loop: loop) }
        for (number, connection) in accepted.enumerated() {
            server.read()
            #expect(reads.count == number + 1)
            try server.writeInbound(connection as any Channel)
        }
        // Full; who wants to accept has to wait.
        server.read()
        #expect(reads.count == 2)
        _ = try accepted[0].finish()
        loop.run()
        #expect(reads.count == 3)
        // One ended that nobody waited for.
        _ = try accepted[1].finish()
        loop.run()
        #expect(reads.count == 3)
    }

    @Test func theEndIsToldToAll() throws {
        let connections = AcceptedConnections(limit: 10)
        let (server, _) = try server(connections)
        let told = (0..<3).map { _ in Told() }
        let accepted = told.map { EmbeddedChannel(handler: $0, loop: loop) }
        for connection in accepted[..<2] { try server.writeInbound(connection as any Channel) }
        _ = try accepted[0].finish()
        loop.run()
        connections.end()
        loop.run()
        #expect(told.map(\.count) == [0, 1, 0])
        #expect(!server.isActive)
    }

    /// It came just before the socket was closed.
    @Test func aLateOneIsToldToo() throws {
        let connections = AcceptedConnections(limit: 10)
        let (server, _) = try server(connections)
        connections.end()
        let told = Told()
        server.pipeline.fireChannelRead(EmbeddedChannel(handler: told, loop: loop) as any Channel)
        loop.run()
        #expect(told.count == 1)
    }
}
