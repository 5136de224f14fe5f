import NIOCore
import NIOEmbedded
import RelayModel
import Testing

@testable import RelayGateway

@Suite struct ConnectionSweepTests {
    private final class Connection: SweptConnection {
        var sweepPlace = ConnectionSweep<Connection>.nowhere
        var sweeps = 0
        var gone = false
        /// What happens when it is looked at next.
        var action: () -> Void = {}

        func sweep() {
            #expect(!gone)
            sweeps += 1
            action()
        }
    }

    private let loop = EmbeddedEventLoop()
    private let sweep: ConnectionSweep<Connection>
    private let pause = TimeAmount.milliseconds(60_000 / Int64(Limits.webSocketSweeps))

    init() { sweep = ConnectionSweep(on: loop, pingInterval: .seconds(60)) }

    private func remove(_ connection: Connection) {
        connection.gone = true
        sweep.remove(connection)
    }

    /// More than one slice: each is looked at once in a pause, whatever the number.
    @Test(arguments: [1, Limits.webSocketSweepSlice, Limits.webSocketSweepSlice + 1, 3 * Limits.webSocketSweepSlice + 7])
    func everyoneOnceInAPause(count: Int) {
        let connections = (0..<count).map { _ in Connection() }
        for connection in connections { sweep.add(connection) }
        for round in 1...3 {
            loop.advanceTime(by: pause)
            #expect(connections.allSatisfy { $0.sweeps == round })
        }
    }

    /// Connections that end, or end others, while they are looked at: nobody who is gone is looked at, and nobody else is left out.
    @Test func connectionsGoWhileTheSweepRuns() {
        let seed = UInt64.random(in: .min ... .max)
        print("sweep: seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var connections = (0..<2000).map { _ in Connection() }
        for connection in connections { sweep.add(connection) }
        for _ in 0..<20 {
            for connection in connections where Int.random(in: 0..<10, using: &random) == 0 {
                let others = Bool.random(using: &random) ? [] : (0..<3).compactMap { _ in connections.randomElement(using: &random) }
                connection.action = {
                    remove(connection)
                    for other in others { remove(other) }
                }
            }
            let before = connections.map(\.sweeps)
            loop.advanceTime(by: pause)
            for (connection, before) in zip(connections, before) {
                #expect(connection.gone || connection.sweeps > before, "seed \(seed)")
                connection.action = {}
            }
            connections.removeAll { $0.gone }
            for _ in 0..<50 {
                let new = Connection()
                connections.append(new)
                sweep.add(new)
            }
        }
        // Removing twice does no harm, and nobody is left.
        for connection in connections + connections { remove(connection) }
        loop.advanceTime(by: pause * 2)
    }

    @Test func itRunsOnlyWhileThereIsSomebody() {
        let first = Connection()
        sweep.add(first)
        loop.advanceTime(by: pause)
        remove(first)
        loop.advanceTime(by: pause * 4)
        #expect(first.sweeps == 1)
        let second = Connection()
        sweep.add(second)
        loop.advanceTime(by: pause)
        #expect(second.sweeps == 1)
    }
}
