import NIOCore
import NIOEmbedded
import RelayModel
import Testing

@testable import RelayListening

@Suite struct AcceptedConnectionsTests {
    /// Counts what reaches the socket.
    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = Never
        var count = 0
        var isClosed = false
        func read(context: ChannelHandlerContext) { count += 1 }
        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            isClosed = true
            context.close(mode: mode, promise: promise)
        }
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
        let (server, reads) = try server(connections)
        let told = (0..<3).map { _ in Told() }
        let accepted = told.map { EmbeddedChannel(handler: $0, loop: loop) }
        for connection in accepted[..<2] {
            try server.writeInbound(connection as any Channel)
            connections.setUp(connection)
        }
        _ = try accepted[0].finish()
        loop.run()
        connections.end(on: loop)
        loop.run()
        // It may be about to say what it wants, and another one be on its way to here.
        #expect(told.map(\.count) == [0, 0, 0] && !reads.isClosed)
        server.read()
        #expect(reads.count == 0)
        loop.advanceTime(by: TimeAmount(Limits.lastRequestPatience))
        #expect(told.map(\.count) == [0, 1, 0] && reads.isClosed)
    }

    /// It was accepted when the end came, and is set up on another loop: until then the socket stays open.
    @Test func aLateOneIsWaitedFor() throws {
        let connections = AcceptedConnections(limit: 10)
        let (server, reads) = try server(connections)
        let told = Told()
        let late = EmbeddedChannel(handler: told, loop: loop)
        try server.writeInbound(late as any Channel)
        connections.end(on: loop)
        for _ in 0..<2 {
            loop.advanceTime(by: TimeAmount(Limits.lastRequestPatience))
            #expect(told.count == 0 && !reads.isClosed)
        }
        connections.setUp(late)
        loop.advanceTime(by: TimeAmount(Limits.lastRequestPatience))
        #expect(told.count == 1 && reads.isClosed)
    }

    /// One on a loop that is busy: the socket closes when it has been told, too.
    @Test func theSocketClosesWhenAllHaveBeenTold() throws {
        let connections = AcceptedConnections(limit: 10)
        let (server, reads) = try server(connections)
        let told = Told()
        let busy = EmbeddedEventLoop()
        let connection = EmbeddedChannel(handler: told, loop: busy)
        try server.writeInbound(connection as any Channel)
        connections.setUp(connection)
        connections.end(on: loop)
        loop.advanceTime(by: TimeAmount(Limits.lastRequestPatience))
        #expect(told.count == 0 && !reads.isClosed)
        busy.run()
        loop.run()
        #expect(told.count == 1 && reads.isClosed)
    }

    /// One that ended before it was set up.
    @Test func nobodyWaitsForOneThatIsGone() throws {
        let connections = AcceptedConnections(limit: 10)
        let (server, reads) = try server(connections)
        let gone = EmbeddedChannel(loop: loop)
        try server.writeInbound(gone as any Channel)
        _ = try gone.finish()
        loop.run()
        connections.end(on: loop)
        #expect(reads.isClosed)
    }
}
