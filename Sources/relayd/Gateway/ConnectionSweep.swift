import NIOCore
import RelayModel

/// A connection that a ``ConnectionSweep`` looks at. Confined to its event loop.
protocol SweptConnection: AnyObject {
    /// Where the sweep has it; the sweep's own. ``ConnectionSweep/nowhere`` at first.
    var sweepPlace: UInt32 { get set }
    func sweep()
}

/// Looks at all WebSockets of one event loop every few seconds: one timer for all, where one for each would be a tenth of what an idle
/// connection takes. Runs only while there are some. Confined to its loop, hence unchecked.
final class ConnectionSweep<Connection: SweptConnection>: @unchecked Sendable {
    /// The place of a connection that is not in the sweep.
    static var nowhere: UInt32 { .max }

    private let loop: any EventLoop
    private let pause: TimeAmount
    private var connections: [Connection] = []
    private var scheduled = false

    init(on loop: any EventLoop, pingInterval: Duration) {
        self.loop = loop
        pause = TimeAmount(pingInterval / Int(Limits.webSocketSweeps))
    }

    func add(_ connection: Connection) {
        connection.sweepPlace = UInt32(connections.count)
        connections.append(connection)
        schedule()
    }

    /// Does nothing for one that is not there.
    func remove(_ connection: Connection) {
        let place = Int(connection.sweepPlace)
        guard place < connections.count, connections[place] === connection else { return }
        connection.sweepPlace = Self.nowhere
        let last = connections.removeLast()
        guard last !== connection else { return }
        connections[place] = last
        last.sweepPlace = UInt32(place)
    }

    private func schedule() {
        guard !scheduled, !connections.isEmpty else { return }
        scheduled = true
        loop.assumeIsolated().scheduleTask(in: pause) { self.sweep(below: self.connections.count) }
    }

    /// From the end, so that the last one, which takes the place of one that goes, was seen before.
    private func sweep(below end: Int) {
        var place = min(end, connections.count)
        let stop = max(0, place - Limits.webSocketSweepSlice)
        while place > stop {
            place -= 1
            // The one before may have taken others with it.
            if place < connections.count { connections[place].sweep() }
        }
        if place > 0 {
            loop.assumeIsolated().execute { self.sweep(below: place) }
        } else {
            scheduled = false
            schedule()
        }
    }
}
