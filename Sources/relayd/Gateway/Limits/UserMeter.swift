import RelayModel
import Synchronization

/// What a user's devices send. It outlives their connections, so that connecting again fills no bucket. Any thread.
final class UserMeter: Meter {
    private struct State {
        var user = TokenBucket()
        /// Few: a user has at most ``Limits/devicesPerUserCeiling`` devices, and buckets that are full again make room.
        var devices: [DeviceBuckets] = []
        var windowEnd = Int64.min
        var inWindow = 0
        var isReported = false
    }

    private struct DeviceBuckets {
        let device: DeviceID
        var messages = TokenBucket()
        var reads = TokenBucket()

        func areFull(at now: Int64) -> Bool { messages.isFull(at: now) && reads.isFull(at: now) }
    }

    private let state = Mutex(State())

    func isIdle(at now: Int64) -> Bool {
        state.withLock { state in
            // A window that is still open is remembered, or connecting again would begin a new one.
            state.user.isFull(at: now) && state.devices.allSatisfy { $0.areFull(at: now) } && state.windowEnd <= now
        }
    }

    /// Takes a token of the device and one of its user, or neither.
    /// - Returns: nil, or nanoseconds to wait.
    func take(_ device: DeviceID, _ deviceRate: Rate?, _ userRate: Rate?, at now: Int64) -> Int64? {
        state.withLock { state in
            let index = deviceRate == nil ? nil : UserMeter.index(of: device, in: &state.devices, at: now)
            var wait: Int64 = 0
            if let index, let deviceRate { wait = state.devices[index].messages.wait(for: deviceRate, at: now) }
            if let userRate { wait = max(wait, state.user.wait(for: userRate, at: now)) }
            guard wait == 0 else { return wait }
            if let index, let deviceRate { _ = state.devices[index].messages.take(deviceRate, at: now) }
            if let userRate { _ = state.user.take(userRate, at: now) }
            return nil
        }
    }

    /// Takes a token for one move of a read mark. They are apart from the messages: reading a lot must not hold up what is written.
    /// - Returns: nil, or nanoseconds to wait.
    func takeRead(_ device: DeviceID, _ rate: Rate, at now: Int64) -> Int64? {
        state.withLock { state in
            let index = UserMeter.index(of: device, in: &state.devices, at: now)
            return state.devices[index].reads.take(rate, at: now)
        }
    }

    func putBack(_ device: DeviceID, _ deviceRate: Rate?, _ userRate: Rate?) {
        state.withLock { state in
            if let deviceRate, let index = state.devices.firstIndex(where: { $0.device == device }) {
                state.devices[index].messages.putBack(deviceRate)
            }
            if let userRate { state.user.putBack(userRate) }
        }
    }

    private static func index(of device: DeviceID, in devices: inout [DeviceBuckets], at now: Int64) -> Int {
        if let index = devices.firstIndex(where: { $0.device == device }) { return index }
        // Also those of devices that were revoked since.
        devices.removeAll { $0.areFull(at: now) }
        devices.append(DeviceBuckets(device: device))
        return devices.count - 1
    }

    /// Counts a message that the user asked to send, whether it is accepted or not.
    /// - Returns: how many there are in the window, the one time in a window when they become more than `threshold`.
    func count(threshold: Int, window: Int64, at now: Int64) -> Int? {
        state.withLock { state in
            if now >= state.windowEnd {
                state.windowEnd = now + window
                state.inWindow = 0
                state.isReported = false
            }
            state.inWindow += 1
            guard state.inWindow > threshold, !state.isReported else { return nil }
            state.isReported = true
            return state.inWindow
        }
    }
}
