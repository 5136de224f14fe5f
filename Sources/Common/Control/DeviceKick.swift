import RelayModel

/// Ends a device's connection and revokes nothing: its client comes back by itself within seconds.
package struct DeviceKick: ControlOperation {
    package static let name = ControlOperationName.deviceKick
    package var device: DeviceID
    /// For the audit log.
    package var reason: String?
    package init(device: DeviceID, reason: String? = nil) {
        self.device = device
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var device: DeviceID
        package var user: String
        package var name: String
        /// There was a connection to end.
        package var wasConnected: Bool
        package init(device: DeviceID, user: String, name: String, wasConnected: Bool) {
            self.device = device
            self.user = user
            self.name = name
            self.wasConnected = wasConnected
        }
    }
}
