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

    /// More loops than this would need a wider mask; one per processor core is what there is.
    static let maxLoops = 64

    private struct State {
        /// On which loops the user has connections, a bit each.
        var users: [UserID: UInt64] = [:]
        var devices: [DeviceID: Place] = [:]
        var lastConnection: UInt64 = 0
    }

    private let state = Mutex(State())

    /// - Returns: the new connection's number, and the place of the device's former connection, which must end.
    func add(_ principal: Principal, loop: Int) -> (connection: UInt64, former: Place?) {
        state.withLock { state in
            state.lastConnection += 1
            state.users[principal.user, default: 0] |= 1 << UInt64(loop)
            let former = state.devices.updateValue(Place(loop: loop, connection: state.lastConnection), forKey: principal.device)
            return (state.lastConnection, former)
        }
    }

    /// - Parameter loop: the loop when this was the user's last connection there, otherwise nil.
    func remove(_ principal: Principal, loop: Int?, connection: UInt64) {
        state.withLock { state in
            if state.devices[principal.device]?.connection == connection { state.devices[principal.device] = nil }
            guard let loop, let mask = state.users[principal.user] else { return }
            let left = mask & ~(1 << UInt64(loop))
            state.users[principal.user] = left == 0 ? nil : left
        }
    }

    func place(of device: DeviceID) -> Place? { state.withLock { $0.devices[device] } }

    var connections: Int { state.withLock { $0.devices.count } }

    /// Calls `body` with a look-up of a user's loops, under one lock.
    func withLoops(_ body: (_ loopsOf: (UserID, (Int) -> Void) -> Void) -> Void) {
        state.withLock { state in
            body { user, visit in
                guard var mask = state.users[user] else { return }
                while mask != 0 {
                    visit(mask.trailingZeroBitCount)
                    mask &= mask - 1
                }
            }
        }
    }
}
