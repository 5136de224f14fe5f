import NIOCore
import RelayCrypto
import RelayModel
import RelayWire

/// Turns an invite into an enrolled device in a state directory.
package enum Enrolment {
    /// The keys are on disk before the relay hears of them: when the answer is lost, nothing the relay knows is without its secrets. The invite
    /// is used up then, and the same directory takes the next one.
    package static func enrol(
        link: InviteLink, deviceName: String, directory: StateDirectory, group: any EventLoopGroup, entropy: any Entropy = SystemEntropy(),
        clock: any WallClock = SystemWallClock()
    ) async throws(ClientError) -> Account {
        let (state, secrets) = try ClientState.create(directory, relay: link.relay, deviceName: deviceName, entropy: entropy, at: clock.now())
        try directory.keep(link.endpoint)
        let api = RelayAPI(endpoint: link.endpoint, group: group)
        let enrolled: Result<(UserID, String, DeviceID), ClientError>
        do throws(ClientError) {
            let reply = try await api.enrol(code: link.code, deviceName: deviceName, secrets: secrets)
            enrolled = .success((UserID(reply.userID), reply.userName, DeviceID(reply.deviceID)))
        } catch {
            enrolled = .failure(error)
        }
        await api.close()
        let (user, name, device) = try enrolled.get()
        guard user.rawValue > 0, device.rawValue > 0, !name.isEmpty else { throw .protocolViolation("the enrolment's reply lacks an identifier") }
        try state.completeEnrolment(user: user, name: name, device: device)
        return Account(relay: link.relay, user: user, userName: name, device: device, deviceName: deviceName)
    }
}
