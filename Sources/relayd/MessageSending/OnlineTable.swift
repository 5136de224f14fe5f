import RelayDirectory
import RelayModel
import Synchronization

/// Which users and devices are connected, and on which loops. The only state that all loops and the writer share; its lock is
/// taken once per batch and per connection, and never while calling out.
final class OnlineTable: Sendable {
    struct Place: Sendable {
        var loop: Int
        var connection: UInt64
    }

    private struct State {
        /// One entry for each connection of the user.
        var users: [UserID: [Int]] = [:]
        var devices: [DeviceID: Place] = [:]
        var lastConnection: UInt64 = 0
    }

    private let state = Mutex(State())

    /// - Returns: the new connection's number, and the place of the device's former connection, which must end.
    func add(_ principal: Principal, loop: Int) -> (connection: UInt64, former: Place?) {
        state.withLock { state in
            state.lastConnection += 1
            state.users[principal.user, default: []].append(loop)
            let former = state.devices.updateValue(Place(loop: loop, connection: state.lastConnection), forKey: principal.device)
            return (state.lastConnection, former)
        }
    }

    func remove(_ principal: Principal, loop: Int, connection: UInt64) {
        state.withLock { state in
            if state.devices[principal.device]?.connection == connection { state.devices[principal.device] = nil }
            guard var loops = state.users[principal.user], let index = loops.firstIndex(of: loop) else { return }
            loops.remove(at: index)
            state.users[principal.user] = loops.isEmpty ? nil : loops
        }
    }

    func place(of device: DeviceID) -> Place? { state.withLock { $0.devices[device] } }

    var connections: Int { state.withLock { $0.devices.count } }

    /// Calls `body` with each user's loops, each once, under one lock.
    func withLoops(_ body: (_ loopsOf: (UserID, (Int) -> Void) -> Void) -> Void) {
        state.withLock { state in
            body { user, visit in
                guard let loops = state.users[user] else { return }
                for (index, loop) in loops.enumerated() where !loops[..<index].contains(loop) { visit(loop) }
            }
        }
    }
}
